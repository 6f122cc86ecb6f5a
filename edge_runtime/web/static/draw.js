// A sheet of paper: strokes by pointer or keyboard, taken back one by one.

import { ApiError, read } from "./api.js";
import { say, showDigits, showText } from "./digits.js";

// In CSS pixels. A felt pen: the model's digits are 20 pixels high with strokes of 2 to 3.
const PEN = 14;
const STEP = 6;
const WIDE_STEP = 24;
// After the last stroke; a 4 or a 7 has a second one.
const WAIT_MS = 350;

export function startDrawing(labels) {
  const area = document.getElementById("draw-area");
  const text = document.getElementById("draw-text");
  const list = document.getElementById("draw-digits");
  const pen = document.getElementById("draw-pen");
  const undo = document.getElementById("undo");
  const clear = document.getElementById("clear");
  const strokes = [];
  // The stroke that each pointer is drawing.
  const drawing = new Map();
  let cursor = null;
  let keyboardStroke = null;
  let timer = 0;
  let request = null;

  function paint(context, ink, paper, width, height) {
    if (paper) {
      context.fillStyle = paper;
      context.fillRect(0, 0, width, height);
    }
    context.strokeStyle = ink;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.beginPath();
      context.moveTo(...stroke[0]);
      // A line of no length is not drawn: a dot needs one.
      if (stroke.length === 1) context.lineTo(stroke[0][0] + 0.1, stroke[0][1]);
      for (const point of stroke.slice(1)) context.lineTo(...point);
      context.stroke();
    }
  }

  function show() {
    const { width, height } = area.getBoundingClientRect();
    const scale = devicePixelRatio;
    area.width = Math.round(width * scale);
    area.height = Math.round(height * scale);
    const context = area.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(area);
    paint(context, style.getPropertyValue("--pen"), null, width, height);
    if (cursor) {
      context.strokeStyle = style.getPropertyValue("--accent");
      context.lineWidth = keyboardStroke ? 3 : 1.5;
      context.beginPath();
      context.arc(...cursor, PEN / 2 + 3, 0, 2 * Math.PI);
      context.stroke();
    }
    undo.disabled = clear.disabled = strokes.length === 0;
  }

  function later() {
    clearTimeout(timer);
    request?.abort();
    timer = setTimeout(send, WAIT_MS);
  }

  async function send() {
    if (strokes.length === 0) {
      say(text, "");
      showDigits(list, [], labels);
      return;
    }
    // Dark on white whatever the page's colours are.
    const { width, height } = area.getBoundingClientRect();
    const sheet = document.createElement("canvas");
    sheet.width = Math.round(width);
    sheet.height = Math.round(height);
    paint(sheet.getContext("2d"), "#111", "#fff", width, height);
    const picture = await new Promise((resolve) => sheet.toBlob(resolve, "image/png"));
    const mine = (request = new AbortController());
    try {
      const reading = await read(picture, mine.signal);
      if (mine !== request) return;
      showText(text, reading);
      showDigits(list, reading.digits, labels);
    } catch (error) {
      if (mine.signal.aborted) return;
      say(text, error instanceof ApiError ? error.message : "The server cannot be reached", "problem");
      showDigits(list, [], labels);
    }
  }

  function point(event) {
    const box = area.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    area.setPointerCapture(event.pointerId);
    cursor = null;
    liftPen();
    const stroke = [point(event)];
    drawing.set(event.pointerId, stroke);
    strokes.push(stroke);
    clearTimeout(timer);
    show();
  });
  area.addEventListener("pointermove", (event) => {
    const stroke = drawing.get(event.pointerId);
    if (!stroke) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) stroke.push(point(one));
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    area.addEventListener(end, (event) => {
      if (drawing.delete(event.pointerId)) later();
    });
  }

  function liftPen() {
    if (keyboardStroke) pen.textContent = "Pen up";
    keyboardStroke = null;
  }

  function takeBack() {
    liftPen();
    strokes.pop();
    show();
    later();
  }

  function takeAllBack() {
    liftPen();
    strokes.length = 0;
    show();
    later();
  }

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  area.addEventListener("keydown", (event) => {
    const { width, height } = area.getBoundingClientRect();
    const move = moves[event.key];
    if (move) {
      const step = event.shiftKey ? WIDE_STEP : STEP;
      cursor ??= [width / 2, height / 4];
      cursor = [
        Math.min(width - PEN, Math.max(PEN, cursor[0] + step * move[0])),
        Math.min(height - PEN, Math.max(PEN, cursor[1] + step * move[1])),
      ];
      if (keyboardStroke) {
        keyboardStroke.push(cursor);
        later();
      }
    } else if (event.key === " ") {
      cursor ??= [width / 2, height / 4];
      if (keyboardStroke) {
        liftPen();
        later();
      } else {
        keyboardStroke = [cursor];
        strokes.push(keyboardStroke);
        pen.textContent = "Pen down";
      }
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
      takeBack();
    } else if (event.key === "Escape" || event.key === "Delete") {
      takeAllBack();
    } else {
      return;
    }
    event.preventDefault();
    show();
  });
  area.addEventListener("blur", () => {
    liftPen();
    cursor = null;
    show();
  });
  undo.addEventListener("click", () => {
    takeBack();
    if (undo.disabled) area.focus();
  });
  clear.addEventListener("click", () => {
    takeAllBack();
    area.focus();
  });
  new ResizeObserver(show).observe(area);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
}
