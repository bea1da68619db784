"use strict";

const at = (id) => document.getElementById(id);
const NAMES = { tuned: "Tuned", base: "Base" };

let asking = null; // what stops the answer that is being written

function made(kind, className, text = "") {
  const element = document.createElement(kind);
  element.className = className;
  element.textContent = text; // never markup: answers and texts are strangers'
  return element;
}

function post(path, body, signal) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });
}

const isAtEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
const toEnd = () => scrollTo(0, document.documentElement.scrollHeight);

function turn(line, subjects) {
  const item = document.createElement("li");
  item.append(made("p", "text asked", line));
  const answers = made("div", subjects.length > 1 ? "answers" : "answers one");
  const places = {};
  for (const subject of subjects) {
    const section = document.createElement("section");
    section.append(made("h2", "", NAMES[subject]));
    places[subject] = made("div", "text");
    places[subject].tabIndex = 0;
    section.setAttribute("aria-label", `${NAMES[subject]} model's answer`);
    section.append(places[subject]);
    answers.append(section);
  }
  item.append(answers);
  at("talk").append(item);
  at("hint").hidden = true;
  toEnd();
  return { item, places };
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

async function send(line, subjects) {
  asking = new AbortController();
  busy(true);
  const { item, places } = turn(line, subjects);
  const finish = () => Object.values(places).forEach((place) => place.classList.remove("writing"));
  try {
    places[subjects[0]].classList.add("writing");
    const response = await post("ask", { line, subjects }, asking.signal);
    if (!response.ok) throw new Error(await response.text());
    for await (const said of lines(response)) {
      const follows = isAtEnd(); // whoever scrolled up to read is left there
      if (said.part !== undefined) {
        finish();
        places[said.subject].classList.add("writing");
        places[said.subject].append(said.part);
      }
      for (const text of said.notes ?? []) item.append(made("p", "note", text));
      for (const text of said.refused ?? []) item.append(made("p", "note refused", text));
      if (said.refused && subjects.every((one) => !places[one].textContent)) item.querySelector(".answers").remove();
      if (follows) toEnd();
    }
    at("said").textContent = subjects.map((one) => `${NAMES[one]}: ${places[one].textContent}`).join(". ");
    at("fault").hidden = true;
  } catch (error) {
    if (error.name === "AbortError") {
      item.append(made("p", "note", "Stopped; this line is forgotten."));
    } else {
      at("fault").textContent = error instanceof TypeError
        ? "No answer: ftc no longer runs. Start the same command again and open the address that it shows."
        : `No answer: ${error.message}`;
      at("fault").hidden = false;
    }
  } finally {
    finish();
    asking = null;
    busy(false);
  }
}

function busy(is) {
  at("send").disabled = is;
  at("reset").disabled = is;
  at("stop").hidden = !is;
  if (!is) at("line").focus();
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = at("line").value.trim();
  if (!line || asking) return;
  at("line").value = "";
  send(line, document.querySelector("[name=who]:checked").value.split(" "));
});
at("line").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("ask").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && asking) asking.abort();
});
at("stop").addEventListener("click", () => asking?.abort());
at("reset").addEventListener("click", async () => {
  try {
    await post("reset", {});
    at("talk").replaceChildren();
    at("hint").hidden = false;
    at("said").textContent = "A new conversation";
  } catch {
    at("fault").textContent = "ftc no longer runs. Start the same command again and open the address that it shows.";
    at("fault").hidden = false;
  }
  at("line").focus();
});

(async () => {
  const about = await (await fetch("about")).json();
  document.title = `${about.name}: base and tuned model`;
  at("about").textContent = [`${about.name}, run ${about.run}`, about.sampling, about.memory].filter(Boolean).join(" · ");
  for (const choice of document.querySelectorAll("[name=who]")) choice.checked = choice.value === about.who;
})();
