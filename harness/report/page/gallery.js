// Draws the maps, filters the gallery and shows what deleting pixels does. Nothing here computes a map.
"use strict";

const data = JSON.parse(document.getElementById("gallery-data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const colours = { true: bytes(data.colours.signed), false: bytes(data.colours.unsigned) };
const control = (name) => document.getElementById(name);
const all = (selector) => [...document.querySelectorAll(selector)];

// Two digits, and an exponent only where a plain number would be long.
const plain = (value) => (value >= 1e-3 && value < 1e4 ? String(Number(value.toPrecision(2))) : value.toExponential(1));

// Maps. A byte b stands for limit · b / 255, or limit · (b - 127) / 127 where the method is signed.

function limitOf(method, map) {
  const scale = control("scale").value;
  return scale === "image" ? map.limit : data.methods[method][scale];
}

function paint(canvas) {
  const { example, method, target } = canvas.dataset;
  const map = data.examples[example].maps[method][target];
  const { signed } = data.methods[method];
  const gain = map.limit / (limitOf(method, map) || 1);
  const [zero, last] = [signed ? 127 : 0, colours[signed].length / 3 - 1];
  [canvas.height, canvas.width] = map.shape;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  bytes(map.values).forEach((level, pixel) => {
    const colour = 3 * Math.max(0, Math.min(last, Math.round(zero + (level - zero) * gain)));
    picture.data.set(colours[signed].subarray(colour, colour + 3), 4 * pixel);
    picture.data[4 * pixel + 3] = 255;
  });
  context.putImageData(picture, 0, 0);
}

function paintBar(canvas, limit) {
  const { method } = canvas.dataset;
  const { signed } = data.methods[method];
  [canvas.height, canvas.width] = [1, colours[signed].length / 3];
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, 1);
  for (let level = 0; level < canvas.width; level += 1) {
    picture.data.set([...colours[signed].subarray(3 * level, 3 * level + 3), 255], 4 * level);
  }
  context.putImageData(picture, 0, 0);
  canvas.nextElementSibling.textContent = signed ? `−${limit} … ${limit}` : `0 … ${limit}`;
}

function paintHead(canvas) {
  const scale = control("scale").value;
  paintBar(canvas, scale === "image" ? "map max" : plain(data.methods[canvas.dataset.method][scale]));
}

function paintAll() {
  all(".maps canvas.values").forEach(paint);
  all(".maps canvas.bar").forEach(paintHead);
}

// The gallery's filters.

let cell = null;

function shows(row) {
  const { label, predicted, kind } = row.dataset;
  const wanted = { class: control("class").value, outcome: control("outcome").value };
  if (cell && (label !== cell.dataset.label || predicted !== cell.dataset.predicted)) return false;
  if (wanted.class && label !== wanted.class) return false;
  if (wanted.outcome === "right") return label === predicted;
  if (wanted.outcome === "wrong") return label !== predicted && label !== "";
  return !wanted.outcome || kind === wanted.outcome;
}

function filter() {
  const rows = all(".maps tbody tr");
  rows.forEach((row) => { row.hidden = !shows(row); });
  const count = rows.filter((row) => !row.hidden).length;
  let text = `${count} of ${rows.length} images shown`;
  if (cell) {
    const { called, count: total, rows: numbers } = cell.dataset;
    text += ` (${called}: ${total} in the test set)`;
    if (!count) text += `. None of them has maps yet: to make some, run harness visualize again with --images ${numbers}`;
  }
  control("shown").textContent = text;
  control("clear").hidden = !cell && !control("class").value && !control("outcome").value;
  const target = control("target").value;
  all(".map").forEach((map) => { map.hidden = target !== "all" && !map.dataset.roles.split(" ").includes(target); });
  rove(all(".map"), all(".map").find(isShown));
}

function press(button) {
  cell = cell === button ? null : button;
  all("[data-count]").forEach((other) => other.setAttribute("aria-pressed", String(other === cell)));
  rove(all("[data-count]"), button);
  filter();
  if (cell) control("controls").scrollIntoView();
}

function clear() {
  control("class").value = "";
  control("outcome").value = "";
  if (cell) press(cell);
  filter();
}

// One map, and one cell of the confusion matrix, at a time is a tab stop; the arrow keys move among them.

const isShown = (map) => !map.hidden && !map.closest("tr").hidden;

function rove(among, item) {
  among.forEach((other) => { other.tabIndex = -1; });
  if (item) item.tabIndex = 0;
}

// `rows` are lists of buttons; a step up or down goes to the one whose `place(row, button)` is nearest.
function step(event, rows, place) {
  const from = event.target.closest("button");
  const at = rows.findIndex((row) => row.includes(from));
  const beside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const below = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (at < 0 || (!beside && !below)) return;
  event.preventDefault();
  const away = (row, button) => Math.abs(place(row, button) - place(rows[at], from));
  const nearest = (row) => row.reduce((best, button) => (away(row, button) < away(row, best) ? button : best));
  const next = rows[at + (below || 0)];
  const to = beside ? rows[at][rows[at].indexOf(from) + beside] : next && nearest(next);
  if (!to) return;
  rove(rows.flat(), to);
  to.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest", inline: "nearest" });  // unlike focus(), it minds the heads that stand still
}

function stepInGallery(event) {
  const rows = all(".maps tbody tr").map((row) => [...row.querySelectorAll(".map")].filter(isShown));
  step(event, rows.filter((row) => row.length), (row, map) => row.indexOf(map));
}

function stepInConfusion(event) {
  const rows = all(".confusion tbody tr, .pairs").map((row) => [...row.querySelectorAll("button")]);
  step(event, rows.filter((row) => row.length), (row, button) => Number(button.dataset.predicted));
}

// The dialog: a map, large, and its deletion: the pixels that it calls most important become black, step by step.

let open = null;

function show(map) {
  const { example, method, title, subject, predicted } = map.dataset;
  const { removed, curve } = data.examples[example].deletion[method];
  open = { example, curve, removed: bytes(removed), shape: Object.values(data.examples[example].maps[method])[0].shape };
  control("deletion-title").textContent = title;
  control("deletion-subject").textContent = subject;
  control("deletion-class").textContent = predicted;
  enlarge(map);
  const slider = control("removed");
  slider.max = curve.length - 1;
  slider.value = 0;
  const x = (index) => 40 + 250 * index / (curve.length - 1);
  const y = (value) => 130 - 115 * value;
  open.at = (index) => [x(index), y(curve[index])];
  control("curve").setAttribute("points", curve.map((value, index) => `${x(index)},${y(value)}`).join(" "));
  control("curve-numbers").replaceChildren(...curve.map((value, index) => {
    const row = document.createElement("tr");
    for (const text of [`${Math.round(100 * index / (curve.length - 1))}%`, value.toFixed(4)]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return row;
  }));
  remove();
  control("deletion").showModal();
}

function enlarge(map) {
  const stack = map.querySelector(".stack").cloneNode(true);
  const [canvas, bar] = [stack.querySelector("canvas"), control("large-bar")];
  const { example, method, target } = canvas.dataset;
  paint(canvas);
  control("large").replaceChildren(stack);
  bar.dataset.method = method;
  paintBar(bar, plain(limitOf(method, data.examples[example].maps[method][target])));
}

function remove() {
  const index = Number(control("removed").value);
  const share = `${Math.round(100 * index / (open.curve.length - 1))}%`;
  const text = `${share} of the pixels removed: probability of the predicted class ${open.curve[index].toFixed(3)}`;
  control("removed-told").textContent = text;
  control("removed").setAttribute("aria-valuetext", text);
  const [left, top] = open.at(index);
  control("mark").setAttribute("cx", left);
  control("mark").setAttribute("cy", top);
  const canvas = control("deleted");
  [canvas.height, canvas.width] = open.shape;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(document.querySelector(`img[data-example="${open.example}"]`), 0, 0, canvas.width, canvas.height);
  const picture = context.getImageData(0, 0, canvas.width, canvas.height);
  open.removed.forEach((at, pixel) => { if (at <= index) picture.data.set([0, 0, 0], 4 * pixel); });
  context.putImageData(picture, 0, 0);
}

for (const name of ["class", "outcome", "target"]) control(name).addEventListener("change", filter);
control("scale").addEventListener("change", paintAll);
control("opacity").addEventListener("input", (event) => {
  document.documentElement.style.setProperty("--opacity", event.target.value / 100);
});
control("clear").addEventListener("click", clear);
control("removed").addEventListener("input", remove);
all("[data-count]").forEach((button) => button.addEventListener("click", () => press(button)));
document.querySelector(".maps").addEventListener("keydown", stepInGallery);
document.querySelector(".confusion, .pairs")?.addEventListener("keydown", stepInConfusion);
rove(all("[data-count]"), document.querySelector("[data-count]"));
all(".map").forEach((map) => map.addEventListener("click", () => { rove(all(".map"), map); show(map); }));
all(".map").forEach((map) => {
  map.querySelector("img").src = document.querySelector(`img[data-example="${map.dataset.example}"]`).src;
});
paintAll();
filter();

// What gets the focus stays clear of the heads, which stand still.
new ResizeObserver(([{ target }]) => {
  control("gallery").style.scrollPadding = `${target.offsetHeight}px 0 0 ${target.offsetWidth}px`;
}).observe(document.querySelector(".maps thead th"));

new ResizeObserver(([{ target }]) => {
  control("sideways").hidden = target.scrollWidth <= target.clientWidth;
}).observe(control("gallery"));
