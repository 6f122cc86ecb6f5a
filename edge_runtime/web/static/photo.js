// A photo that is chosen, dropped or pasted: shown with boxes around what was read.

import { ApiError, read } from "./api.js";
import { say, showDigits, showText } from "./digits.js";

// A picture that is too large for the server is made this long: ten lines of digits are still
// a hundred pixels high.
const SMALLER_SIDE = 2400;
const SHOWN_SIDE = 1280;

export function startPhotos(labels, limits) {
  const file = document.getElementById("file");
  const drop = document.getElementById("drop");
  const canvas = document.getElementById("photo-picture");
  const text = document.getElementById("photo-text");
  const list = document.getElementById("photo-digits");
  let request = null;

  async function take(picture) {
    request?.abort();
    const mine = (request = new AbortController());
    say(text, "Reading …", "message");
    showDigits(list, [], labels);
    canvas.hidden = true;
    // A browser knows fewer kinds than the server: what it cannot show is still sent.
    const image = await createImageBitmap(picture).catch(() => null);
    try {
      const reading = await read(await small(picture, image), mine.signal);
      if (mine !== request) return;
      if (image) showPicture(image, reading);
      showText(text, reading);
      showDigits(list, reading.digits, labels);
    } catch (error) {
      if (mine.signal.aborted) return;
      say(text, error instanceof ApiError ? error.message : "The server cannot be reached", "problem");
    }
  }

  async function small(picture, image) {
    const fits = !image || image.width * image.height <= limits.pixels;
    if (!image || (picture.size <= limits.body_bytes && fits)) return picture;
    const scale = Math.min(1, SMALLER_SIDE / Math.max(image.width, image.height));
    const sheet = document.createElement("canvas");
    sheet.width = Math.round(image.width * scale);
    sheet.height = Math.round(image.height * scale);
    sheet.getContext("2d").drawImage(image, 0, 0, sheet.width, sheet.height);
    return new Promise((resolve) => sheet.toBlob(resolve, "image/jpeg", 0.92));
  }

  function showPicture(image, reading) {
    const scale = Math.min(1, SHOWN_SIDE / Math.max(image.width, image.height));
    canvas.width = Math.round(image.width * scale);
    canvas.height = Math.round(image.height * scale);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    // The size that the server read: not the file's if it had to be made smaller.
    const x = canvas.width / reading.size[0];
    const y = canvas.height / reading.size[1];
    context.lineWidth = Math.max(2, canvas.width / 300);
    for (const { box, rejected } of reading.digits) {
      context.strokeStyle = rejected ? "rgb(213 94 0 / 50%)" : "rgb(0 114 178)"; // As in the live picture.
      context.setLineDash(rejected ? [6, 4] : []);
      context.strokeRect(box[0] * x, box[1] * y, box[2] * x, box[3] * y);
    }
    canvas.hidden = false;
  }

  file.addEventListener("change", () => {
    if (file.files.length) take(file.files[0]);
    file.value = ""; // So that the same file can be chosen again.
  });
  document.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (pasted) take(pasted);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}
