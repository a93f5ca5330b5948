// The service worker: static files from the cache, the till from the network or else as it was last seen. Sales are not its
// business; they wait in IndexedDB. Registered as
// /console/sw.js?v=<fingerprint>.
const fingerprint = new URL(location.href).searchParams.get("v");
const STATIC = `nervio-static-${fingerprint}`;
const PAGES = "nervio-pages";
const KEPT = ["/console/sell", "/console/offline"];
const SLOW_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const names = await (await fetch(`/static/${fingerprint}/precache.json`)).json();
    await (await caches.open(STATIC)).addAll(names);
    const offline = await fetch("/console/offline");
    if (offline.ok) await (await caches.open(PAGES)).put("/console/offline", offline);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("nervio-static-") && name !== STATIC) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

async function fromCache(request) {
  return (await caches.match(request, { ignoreVary: true })) ?? fetch(request);
}

async function fromNetwork(request) {
  const { pathname } = new URL(request.url);
  try {
    const reply = await fetch(request, { signal: AbortSignal.timeout(SLOW_MS) });
    if (KEPT.includes(pathname) && reply.ok && !reply.redirected) {
      await (await caches.open(PAGES)).put(pathname, reply.clone());
    }
    return reply;
  } catch (error) {
    const pages = await caches.open(PAGES);
    const kept = (await pages.match(pathname)) ?? (await pages.match("/console/offline"));
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname.startsWith("/static/")) event.respondWith(fromCache(request));
  else if (request.mode === "navigate") event.respondWith(fromNetwork(request));
});
