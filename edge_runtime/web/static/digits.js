// Showing what was read: the text, and of each digit what the model saw and how sure it is.

// More classes than this do not fit side by side: the most probable ones are shown.
const MOST_BARS = 12;
const MOST_DIGITS = 40;

/** Shows digits in a list, changing the entries that are there rather than making new ones. */
export function showDigits(list, digits, labels) {
  const shown = digits.slice(0, MOST_DIGITS);
  while (list.children.length > shown.length) list.lastElementChild.remove();
  while (list.children.length < shown.length) list.append(newEntry());
  shown.forEach((digit, index) => fill(list.children[index], digit, labels));
}

/** Puts a reading's text into words where there is none. */
export function showText(place, reading) {
  const doubtful = reading.digits.filter((digit) => digit.rejected);
  let text = reading.text;
  let message = "";
  if (!text && doubtful.length === 1) message = `Not sure: perhaps ${doubtful[0].label} (${percent(doubtful[0].score)})`;
  else if (!text && doubtful.length) message = "Something is there, but nothing that can be read";
  else if (!text) message = "Nothing found";
  say(place, text || message, message ? "message" : "");
}

/** Says something; an unchanged text is left alone, so that a screen reader does not repeat it. */
export function say(place, text, kind = "") {
  place.classList.toggle("message", kind === "message" || kind === "problem");
  place.classList.toggle("problem", kind === "problem");
  if (place.textContent !== text) place.textContent = text;
}

export function percent(score) {
  return score > 0.9995 ? "100 %" : `${(score * 100).toFixed(score > 0.1 ? 0 : 1)} %`;
}

function newEntry() {
  const entry = document.createElement("li");
  entry.className = "digit";
  const picture = document.createElement("canvas");
  picture.setAttribute("aria-hidden", "true");
  const label = document.createElement("span");
  label.className = "label";
  label.append(document.createElement("b"), document.createElement("small"));
  const bars = document.createElement("div");
  bars.className = "bars";
  bars.setAttribute("aria-hidden", "true");
  const words = document.createElement("span");
  words.className = "unseen";
  entry.append(picture, label, bars, words);
  return entry;
}

function fill(entry, digit, labels) {
  const [picture, label, bars, words] = entry.children;
  entry.classList.toggle("rejected", digit.rejected);
  drawInput(picture, digit.input);
  label.children[0].textContent = digit.label;
  label.children[1].textContent = percent(digit.score);
  const order = labels.map((_, index) => index).sort((a, b) => digit.probabilities[b] - digit.probabilities[a]);
  const indices = labels.length <= MOST_BARS ? labels.map((_, index) => index) : order.slice(0, 5);
  while (bars.children.length > indices.length) bars.lastElementChild.remove();
  while (bars.children.length < indices.length) bars.append(document.createElement("i"));
  indices.forEach((index, place) => {
    const bar = bars.children[place];
    bar.textContent = labels[index].slice(0, 3);
    bar.classList.toggle("best", index === order[0]);
    bar.style.setProperty("--p", digit.probabilities[index]);
  });
  const next = order[1];
  const others = next === undefined ? "" : `, then ${labels[next]}, ${percent(digit.probabilities[next])}`;
  words.textContent = `${digit.rejected ? "rejected" : "accepted"}${others}`;
}

/** What the model saw, pixel by pixel. */
function drawInput(canvas, input) {
  const bytes = Uint8Array.from(atob(input.data), (c) => c.charCodeAt(0));
  if (canvas.width !== input.width || canvas.height !== input.height) {
    canvas.width = input.width;
    canvas.height = input.height;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(input.width, input.height);
  for (let pixel = 0; pixel < input.width * input.height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * pixel + channel] = bytes[input.channels * pixel + Math.min(channel, input.channels - 1)];
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
