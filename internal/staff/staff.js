// Carries passkeys between the authenticator and the server.
"use strict";
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function send(path, body, type) {
  const reply = await fetch(path, { method: "POST", body, headers: { "Content-Type": type, Accept: "application/json" }, cache: "no-store" });
  if (!reply.ok) throw new Error(String(reply.status));
  return reply.json();
}

async function make(options) {
  const o = options.publicKey;
  o.challenge = bytes(o.challenge);
  o.user.id = bytes(o.user.id);
  for (const c of o.excludeCredentials ?? []) c.id = bytes(c.id);
  const made = await navigator.credentials.create({ publicKey: o });
  return {
    id: made.id, rawId: text(made.rawId), type: made.type, clientExtensionResults: made.getClientExtensionResults(),
    response: { clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject), transports: made.response.getTransports?.() ?? [] },
  };
}

async function use(options) {
  const o = options.publicKey;
  o.challenge = bytes(o.challenge);
  for (const c of o.allowCredentials ?? []) c.id = bytes(c.id);
  const used = await navigator.credentials.get({ publicKey: o });
  return {
    id: used.id, rawId: text(used.rawId), type: used.type, clientExtensionResults: used.getClientExtensionResults(),
    response: {
      clientDataJSON: text(used.response.clientDataJSON), authenticatorData: text(used.response.authenticatorData),
      signature: text(used.response.signature), userHandle: used.response.userHandle ? text(used.response.userHandle) : null,
    },
  };
}

for (const [id, work] of [["signin", use], ["join", make], ["passkey", make]]) {
  const form = document.getElementById(id);
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button"), state = form.querySelector("[role=status]");
    if (!window.PublicKeyCredential) {
      state.textContent = form.dataset.unable;
      return;
    }
    button.disabled = true;
    state.textContent = "";
    try {
      const options = await send(form.dataset.begin, new URLSearchParams(new FormData(form)), "application/x-www-form-urlencoded");
      const done = await send(form.dataset.finish, JSON.stringify(await work(options)), "application/json");
      location.assign(done.to);
    } catch {
      state.textContent = form.dataset.failed;
      button.disabled = false;
    }
  });
}
