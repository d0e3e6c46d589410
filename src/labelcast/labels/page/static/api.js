// Requests to the server. Every response is {status, data}; nothing throws.

/** Status of a request that no server answered. */
export const GONE = 0;

async function send(path, options) {
  try {
    const response = await fetch(path, { credentials: "same-origin", ...options });
    const json = (response.headers.get("content-type") ?? "").startsWith("application/json");
    return { status: response.status, data: json ? await response.json() : {} };
  } catch {
    return { status: GONE, data: {} };
  }
}

export const get = (path) => send(path, {});

export const post = (path, body) => send(path, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
