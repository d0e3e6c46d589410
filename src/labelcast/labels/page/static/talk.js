// Talking to the server. Every answer comes back as {status, data}; nothing throws.

/** Status of a request that reached nobody. */
export const GONE = 0;

async function ask(path, options) {
  try {
    const answer = await fetch(path, { credentials: "same-origin", ...options });
    const json = (answer.headers.get("content-type") ?? "").startsWith("application/json");
    return { status: answer.status, data: json ? await answer.json() : {} };
  } catch {
    return { status: GONE, data: {} };
  }
}

export const get = (path) => ask(path, {});

export const post = (path, body) => ask(path, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
