"use strict";

const at = (id) => document.getElementById(id);
const NAMES = { tuned: "Tuned", base: "Base" };

let asking = null; // the answer that is being written: its id, and whether somebody stopped it

// A page that is opened or loaded anew shows no conversation, so the models must not remember one.
const ready = post("reset", {}).then((response) => response.text());

function made(kind, className, text = "") {
  const element = document.createElement(kind);
  element.className = className;
  element.textContent = text; // never markup: answers and texts are strangers'
  return element;
}

function post(path, body) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
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
  const mine = (asking = { id: crypto.randomUUID(), isStopped: false });
  busy(true);
  const { item, places } = turn(line, subjects);
  const finish = () => Object.values(places).forEach((place) => place.classList.remove("writing"));
  try {
    places[subjects[0]].classList.add("writing");
    await ready;
    if (mine.isStopped) {
      item.append(made("p", "note", "Stopped; this line is forgotten."));
      return;
    }
    const response = await post("ask", { line, subjects, id: mine.id });
    if (!response.ok) throw new Error(await response.text());
    let isTold = false;
    for await (const said of lines(response)) {
      const follows = isAtEnd(); // whoever scrolled up to read is left there
      if (said.part !== undefined) {
        finish();
        places[said.subject].classList.add("writing");
        places[said.subject].append(said.part);
      }
      for (const text of said.notes ?? []) item.append(made("p", "note", text));
      for (const text of said.refused ?? []) item.append(made("p", "note refused", text));
      if (said.stopped) item.append(made("p", "note", said.stopped));
      isTold ||= Boolean(said.stopped || said.refused);
      if (said.refused && subjects.every((one) => !places[one].textContent)) item.querySelector(".answers").remove();
      if (follows) toEnd();
    }
    if (mine.isStopped && !isTold) item.append(made("p", "note", "The answer was complete before it could stop; it is kept."));
    at("said").textContent = subjects.map((one) => `${NAMES[one]}: ${places[one].textContent}`).join(". ");
    at("fault").hidden = true;
  } catch (error) {
    at("fault").textContent = error instanceof TypeError
      ? "No answer: ftc no longer runs. Start the same command again and open the address that it shows."
      : `No answer: ${error.message}`;
    at("fault").hidden = false;
  } finally {
    finish();
    asking = null;
    busy(false);
  }
}

function stop() {
  if (!asking) return;
  asking.isStopped = true;
  post("stop", { id: asking.id }).catch(() => {}); // the answer itself says what became of it, or that ftc is gone
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
  if (event.key === "Escape") stop();
});
at("stop").addEventListener("click", stop);
at("reset").addEventListener("click", async () => {
  try {
    await (await post("reset", {})).text();
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
// `autofocus` waits for the next frame, and a key pressed before it would be lost.
at("line").focus();
