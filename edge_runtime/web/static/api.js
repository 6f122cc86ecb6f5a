// Talking to the server.

const TRIES = 4;

export class ApiError extends Error {}

/** Sends a picture to be read; waits and tries again while the server has too much to do. */
export async function read(picture, signal) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch("/api/read?details=true", {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: picture,
      signal,
    });
    if (response.ok) return response.json();
    if ((response.status === 429 || response.status === 503) && attempt < TRIES) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await pause(seconds * 1000, signal);
      continue;
    }
    throw await problem(response);
  }
}

export async function status() {
  const response = await fetch("/api/status", { cache: "no-store" });
  if (response.ok) return response.json();
  throw await problem(response);
}

async function problem(response) {
  // The token has changed: the server shows where to type the new one.
  if (response.status === 401) location.reload();
  const answer = await response.json().catch(() => ({}));
  return new ApiError(answer.error ?? `the server answers ${response.status}`);
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
