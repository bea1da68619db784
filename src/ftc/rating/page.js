"use strict";

const at = (id) => document.getElementById(id);
const KEYS = { ArrowLeft: "left", ArrowRight: "right", t: "tie", b: "bad", 1: "left", 2: "tie", 3: "right", 4: "bad" };

let state = null;
let number = 0; // the pair on the page; as many as there are rows: the result
let busy = false; // one decision at a time, in the order of the keys

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function once(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    at("fault").hidden = true;
  } catch (error) {
    at("fault").textContent = error instanceof TypeError
      ? "Not saved: ftc no longer runs. Start the same command again and open the address that it shows; all earlier decisions are kept."
      : `Not saved: ${error.message}`;
    at("fault").hidden = false;
  } finally {
    busy = false;
  }
}

async function show() {
  if (number >= state.rows) return showResult();
  const item = await ask(`item/${number}`);
  showProgress();
  for (const name of ["prompt", "left", "right"]) {
    at(name).textContent = item[name] || "(nothing)";
    at(name).scrollTop = 0;
  }
  showImages(item.images);
  at("expected").textContent = item.expected ?? "";
  at("reference").hidden = item.expected === null;
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.choice === state.choices[number]));
  }
  at("rating").hidden = false;
  at("result").hidden = true;
}

function showImages(count) {
  const shown = Array.from({ length: count }, (_, place) => {
    const image = document.createElement("img");
    image.alt = `image ${place + 1} of ${count}`;
    image.addEventListener("error", async () => {
      const note = document.createElement("p");
      const response = await fetch(image.src).catch(() => null);
      note.textContent = response?.status === 404 ? await response.text() : "The image can't be shown.";
      image.replaceWith(note);
    });
    image.src = `image/${number}/${place}`;
    return image;
  });
  at("images").replaceChildren(...shown);
  at("images").hidden = count === 0;
}

function showProgress() {
  const done = state.choices.filter((choice) => choice !== null).length;
  at("progress").textContent = `${done} of ${state.rows} rated`;
  at("bar").max = Math.max(1, state.rows);
  at("bar").value = done;
}

async function showResult() {
  const tally = await ask("result");
  showProgress();
  const own = tally.overall;
  at("verdict").textContent = own ? verdict(tally, own) : "Both gave the same answer to every row.";
  const lines = own ? [[tally.second, own.wins], [tally.first, own.losses], ["equally good", own.ties], ["both bad", own.both_bad]] : [];
  lines.push(["same answer, not shown", tally.same]);
  at("counts").replaceChildren(...lines.map(([name, count]) => {
    const line = document.createElement("tr");
    const title = document.createElement("th");
    title.scope = "row";
    title.textContent = name;
    const cell = document.createElement("td");
    cell.textContent = count;
    line.append(title, cell);
    return line;
  }));
  at("rating").hidden = true;
  at("result").hidden = false;
}

function verdict(tally, own) {
  const percent = (value) => `${(100 * Number(value)).toFixed(1)} %`;
  const range = own.low === null ? "" : ` (95 % interval ${percent(own.low)} to ${percent(own.high)})`;
  return `${tally.second} was preferred to ${tally.first} in ${percent(own.rate)} of your decisions${range}, where neither was better counted half.`;
}

function nextOpen(from) {
  const later = state.choices.indexOf(null, from);
  const open = later >= 0 ? later : state.choices.indexOf(null);
  return open >= 0 ? open : state.rows;
}

const decide = (choice) => once(async () => {
  if (number >= state.rows) return;
  state = await ask("rate", { number, choice });
  number = nextOpen(number + 1);
  await show();
});

const back = () => once(async () => {
  if (number > 0) number -= 1;
  await show();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (KEYS[key]) decide(KEYS[key]);
  else if (key === "Backspace") back();
  else if (key === "r") at("reference").open = !at("reference").open;
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", () => decide(button.dataset.choice));
}
at("back").addEventListener("click", back);
at("again").addEventListener("click", back);

once(async () => {
  state = await ask("state");
  number = nextOpen(0);
  await show();
});
