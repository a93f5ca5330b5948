// The browser's database: sales that wait to be sent, and the products this shop sells. Both outlive the session: logging
// out must not drop a sale that was made.
const open = new Promise((resolve, reject) => {
  const request = indexedDB.open("nervio", 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("queue", { keyPath: "key" });
    request.result.createObjectStore("products", { keyPath: ["tenant", "sku"] }).createIndex("tenant", "tenant");
  };
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** Run `work(store)` in one transaction and return its request's result once the transaction is safely written. */
export async function withStore(name, mode, work) {
  const database = await open;
  return new Promise((resolve, reject) => {
    // A sale is money: ask for the write to reach the disk before we say that it is kept.
    const transaction = database.transaction(name, mode, { durability: mode === "readwrite" ? "strict" : "default" });
    const request = work(transaction.objectStore(name));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = () => reject(transaction.error);
  });
}
