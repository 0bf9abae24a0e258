"""The rules by themselves: tables of cases, and laws that hold for every order."""
