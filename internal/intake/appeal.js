// Sends the form with an answer to a challenge, which costs this machine a little work.
"use strict";
const form = document.getElementById("appeal");
const state = document.getElementById("work");
const button = form.querySelector("button");

function solve(challenge) {
  return new Promise((resolve, reject) => {
    const worker = new Worker("/appeal-work.js");
    worker.onmessage = (e) => { worker.terminate(); resolve(e.data); };
    worker.onerror = (e) => { worker.terminate(); reject(e); };
    worker.postMessage(challenge);
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.disabled) return;
  button.disabled = true;
  state.textContent = form.dataset.busy;
  try {
    const reply = await fetch("/appeal/challenge", { cache: "no-store" });
    if (!reply.ok) throw new Error(reply.status);
    const challenge = await reply.json();
    form.elements.answer.value = await solve(challenge);
    form.elements.proof.value = challenge.challenge;
    form.submit();
  } catch {
    state.textContent = form.dataset.failed;
    button.disabled = false;
  }
});

// Back from the next page, the form can be sent again.
addEventListener("pageshow", () => { button.disabled = false; state.textContent = ""; });
