"""The console's pages: each is one function here, one template, and one line of `routes`.

A page reads in one snapshot, with the functions of a module `*_reads`, and says what it has found
in words (`wording`). `chrome.show` makes the page. Begin with `payment_page`.
"""
