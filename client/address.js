/** Where the server of this page is, and the token it wants from callers that are not on its own machine. */

const PATH = "v1/live/sessions";

/**
 * The token stands in the fragment (`https://host/#token=...`), which browsers never send to a server; it is taken out
 * of the address bar so that it is not shared by a copied link, and kept for this tab.
 * @param {Location} location
 * @param {History} history
 * @param {Storage} storage
 * @returns {string | null}
 */
export function takeToken(location, history, storage) {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    storage.setItem("omni.token", found);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return found ?? storage.getItem("omni.token");
}

/** @param {string} base Address of the page. @returns {string} */
export function sessionsUrl(base) {
  return new URL(PATH, base).href;
}

/**
 * A browser's WebSocket cannot carry a header: the token goes as a subprotocol, which no log keeps, or into the query
 * where it has letters that a subprotocol must not have (RFC 6455 section 4.1).
 * @param {string} base
 * @param {string | null} token
 * @returns {{url: string, protocols: string[]}}
 */
export function socketAddress(base, token) {
  const url = new URL(PATH, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  if (!token) return { url: url.href, protocols: ["omni"] };
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(token)) return { url: url.href, protocols: ["omni", `omni-token.${token}`] };
  url.searchParams.set("token", token);
  return { url: url.href, protocols: ["omni"] };
}
