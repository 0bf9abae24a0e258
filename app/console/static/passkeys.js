// A form with data-passkey asks the person's device for a passkey and then sends itself.
// data-passkey is `create` or `get`; data-challenge is where the options come from.
for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector("[role=alert]");
    said.hidden = true;
    try {
      const isNew = form.dataset.passkey === "create";
      const answer = await fetch(form.dataset.challenge, {
        method: "POST",
        headers: { "X-CSRF-Token": form.elements.csrf.value },
        body: new URLSearchParams({ ceremony: isNew ? "add" : "confirm" }),
      });
      if (!answer.ok) throw new Error("The server gives no challenge; open the page again.");
      const options = await answer.json();
      const credential = isNew
        ? await navigator.credentials.create({
            publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
          })
        : await navigator.credentials.get({
            publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
          });
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch (error) {
      said.textContent = error.name === "NotAllowedError" ? "No passkey was used." : error.message;
      said.hidden = false;
    }
  });
}
