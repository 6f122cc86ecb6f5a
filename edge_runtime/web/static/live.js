// The camera's picture and state. The picture comes by itself; the rest is asked for while the page
// is seen.

import { pause, status } from "./api.js";
import { say, showDigits, showText } from "./digits.js";

const ASK_MS = 250;
const ASK_WITHOUT_CAMERA_MS = 5000;
const RETRY_MS = 5000;
// A picture older than this is shown as old.
const OLD_MS = 3000;

const byId = (id) => document.getElementById(id);

export async function startLive(first, labels) {
  byId(first.has_camera ? "live" : "no-camera").hidden = false;
  if (first.has_camera) startStream();
  for (let now = first; ; ) {
    show(now, labels);
    await pause(now?.has_camera === false ? ASK_WITHOUT_CAMERA_MS : ASK_MS);
    while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    now = await status().catch(() => null);
    if (!now) await pause(1000);
  }
}

function startStream() {
  const image = byId("stream");
  const button = byId("pause");
  let paused = false;
  let timer = 0;

  function watch() {
    clearTimeout(timer);
    if (paused || document.hidden) image.removeAttribute("src");
    else image.src = `/stream.mjpg?at=${Date.now()}`;
  }
  image.addEventListener("load", () => {
    image.hidden = false;
    image.dataset.problem = "";
  });
  image.addEventListener("error", () => {
    if (paused || document.hidden) return;
    image.hidden = true;
    image.dataset.problem = "No live picture: too many may be watching already. It is tried again.";
    timer = setTimeout(watch, RETRY_MS);
  });
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause picture";
    if (paused) keep(image);
    watch();
  });
  document.addEventListener("visibilitychange", watch);
  watch();
}

/** Leaves the last picture standing where the stream was. */
function keep(image) {
  if (!image.naturalWidth) return;
  const still = document.createElement("canvas");
  still.width = image.naturalWidth;
  still.height = image.naturalHeight;
  still.getContext("2d").drawImage(image, 0, 0);
  still.toBlob((blob) => {
    if (image.getAttribute("src")) return;
    image.src = URL.createObjectURL(blob);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  }, "image/jpeg", 0.9);
}

function show(now, labels) {
  const state = byId("state");
  if (!now) {
    state.dataset.state = "lost";
    say(state, "Connection lost; trying again");
    byId("video").classList.add("stale");
    return;
  }
  if (!now.has_camera) {
    state.dataset.state = "none";
    say(state, "Ready · no camera");
    return;
  }
  const camera = now.camera;
  state.dataset.state = camera?.state ?? "opening";
  say(state, cameraWords(camera));
  const live = now.live;
  const old = !live || live.age_now_ms > OLD_MS;
  byId("video").classList.toggle("stale", old);
  say(byId("video-note"), videoNote(camera, live, old));
  showFacts(now);
  if (!live) return;
  if (live.text) say(byId("live-text"), live.text);
  else showText(byId("live-text"), { text: "", digits: live.digits });
  showDigits(byId("live-digits"), live.digits, labels);
}

function cameraWords(camera) {
  if (!camera) return "Opening the camera";
  const { state, granted } = camera;
  const size = granted.width ? ` · ${granted.width} × ${granted.height}` : "";
  const words = { opening: "Opening the camera", running: `Camera running${size}`, absent: "No camera", stalled: "The camera gives no picture", ended: "The end was reached" };
  return words[state] ?? state;
}

function videoNote(camera, live, old) {
  const problem = byId("stream").dataset.problem;
  if (camera && (camera.state === "absent" || camera.state === "stalled")) {
    const next = camera.next_try_s === null ? "" : ` · next try in ${Math.ceil(camera.next_try_s)} s`;
    return (camera.reason || cameraWords(camera)) + next;
  }
  if (problem) return problem;
  if (!live) return "Waiting for the first picture …";
  return old && camera?.state === "running" ? "No new picture has come" : "";
}

function showFacts({ live, machine }) {
  const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  if (live) {
    fact("fps", `${live.fps.toFixed(1)} / s`);
    fact("age", ms(live.age_ms), `95 % below ${ms(live.age_percentiles_ms.p95)}`);
    fact("latency", ms(live.latency_ms.p50), `95 % below ${ms(live.latency_ms.p95)}`);
    const steps = live.timings_ms;
    fact("steps", `${steps.preprocess.toFixed(1)} + ${ms(steps.invoke)}`, `finding + model; capture ${ms(steps.capture)}`);
    fact("dropped", String(live.dropped), "frames, for newer ones");
  }
  const { temperature_c: temperature, throttled } = machine;
  const hot = throttled?.length ? throttled.join(", ") : "";
  fact("temperature", temperature === null ? "not known" : `${Math.round(temperature)} °C`, hot);
}

function fact(name, value, small = "") {
  const place = byId(`fact-${name}`);
  const wanted = value + small;
  if (place.dataset.shown === wanted) return;
  place.dataset.shown = wanted;
  place.replaceChildren(value);
  if (small) {
    const note = document.createElement("small");
    note.textContent = small;
    place.append(note);
  }
}
