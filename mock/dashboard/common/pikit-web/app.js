// Asks the API how the board is and shows it. Which tiles there are is said in tiles.js.
import { tiles } from "./tiles.js";

const place = document.getElementById("tiles");
const state = document.getElementById("state");

function build(tile) {
  const box = document.createElement("section");
  box.className = "tile";
  const title = document.createElement("h2");
  title.textContent = tile.title;
  const value = document.createElement("output");
  value.textContent = "–";
  box.append(title, value);
  let meter = null;
  if (tile.max) {
    meter = document.createElement("meter");
    meter.max = tile.max;
    meter.high = tile.max * 0.8;
    meter.setAttribute("aria-label", tile.title);
    box.append(meter);
  }
  const more = tile.more ? tile.more(box) : null;
  place.append(box);
  return (number) => {
    value.textContent = tile.text(number);
    if (meter) meter.value = number;
    if (more) more(number);
  };
}

const shown = new Map(tiles.map((tile) => [tile.key, build(tile)]));

function say(name, words) {
  state.dataset.state = name;
  state.textContent = words;
}

async function json(url) {
  const answer = await fetch(url, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

async function refresh() {
  try {
    const board = await json("/api/status");
    for (const [key, show] of shown) if (typeof board[key] === "number") show(board[key]);
    document.getElementById("version").textContent = board.version;
    say("here", board.host);
  } catch {
    // during an update the API is away for a moment
    say("away", "no answer from the board");
  }
}

const config = await json("config.json").catch(() => ({}));
document.title = document.querySelector("h1").textContent = config.title || "Pi-Kit";
if (config.theme) document.documentElement.dataset.theme = config.theme;
await refresh();
setInterval(refresh, 1000 * (config.refresh_seconds || 2));
