// Starts the page's parts when the server has said what there is.

import { pause, status } from "./api.js";
import { say } from "./digits.js";
import { startDrawing } from "./draw.js";
import { startLive } from "./live.js";
import { startPhotos } from "./photo.js";

const state = document.getElementById("state");

async function firstStatus() {
  for (;;) {
    try {
      return await status();
    } catch {
      state.dataset.state = "lost";
      say(state, "Connection lost; trying again");
      await pause(2000);
    }
  }
}

const first = await firstStatus();
const { model, machine, version, limits } = first;
const kind = [model.variant, `${model.labels.length} classes`, model.backend].filter(Boolean).join(" · ");
document.getElementById("model").textContent = `Model ${model.name} · ${kind}`;
document.getElementById("version").textContent = `edge-runtime ${version}`;
if (machine.board) document.getElementById("machine").textContent = `this ${machine.board}`;
startDrawing(model.labels);
startPhotos(model.labels, limits);
startLive(first, model.labels);
