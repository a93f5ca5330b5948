// Drives Medusa's inventory module for bench/stock/medusa.py: one JSON object a line in, one a line out.
//
//   node medusa_driver.cjs PACKAGES DATABASE_URL
//
// PACKAGES is a directory in which npm installed the packages; nothing of them is kept in this repository.
//   {"id": 1, "op": "prepare", "units": [200, ...]}  ->  {"id": 1, "ok": true}
//   {"id": 2, "op": "sell", "sku": 0, "key": "..."}  ->  {"id": 2, "ok": true, "sold": true}
//   {"id": 3, "op": "audit"}                         ->  {"id": 3, "ok": true, "sold": [200], "movements": 200}
// A sale is Medusa's own createReservationsWorkflow: it locks the item in the locking module (its default provider, in
// memory, the fastest), checks the level, inserts a reservation and writes the level on PostgreSQL.

const { createRequire } = require("node:module");
const readline = require("node:readline");

const [packages, clientUrl] = process.argv.slice(2);
const need = createRequire(`${packages}/package.json`);

const { MedusaApp, MedusaAppMigrateUp } = need("@medusajs/framework/modules-sdk");
const { ContainerRegistrationKeys, Modules, createMedusaContainer } = need("@medusajs/framework/utils");
const { asValue } = need("@medusajs/framework/awilix");

// What Medusa logs is for people who run it; standard output carries the answers only.
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const logger = Object.fromEntries(
  ["panic", "error", "warn"].map((level) => [level, (text) => console.error(text)]).concat(
    ["info", "log", "debug", "silly", "progress", "success", "failure", "activity", "setLogLevel", "unsetLogLevel"].map(
      (level) => [level, () => undefined],
    ),
  ),
);
logger.shouldLog = () => false;
for (const level of ["log", "info", "debug"]) console[level] = () => undefined;

async function open() {
  const sharedContainer = createMedusaContainer();
  sharedContainer.register(ContainerRegistrationKeys.LOGGER, asValue(logger));
  const options = {
    sharedContainer,
    cwd: packages,
    workerMode: "shared",
    modulesConfig: {
      [Modules.INVENTORY]: { resolve: need.resolve("@medusajs/inventory") },
      [Modules.LOCKING]: { resolve: need.resolve("@medusajs/locking") },
      [Modules.EVENT_BUS]: { resolve: need.resolve("@medusajs/event-bus-local") },
      [Modules.WORKFLOW_ENGINE]: { resolve: need.resolve("@medusajs/workflow-engine-inmemory") },
    },
    sharedResourcesConfig: { database: { clientUrl, driverOptions: { ssl: false }, pool: { min: 2, max: 16 } } },
    injectedDependencies: { [ContainerRegistrationKeys.LOGGER]: logger },
  };
  await MedusaAppMigrateUp(options);
  const app = await MedusaApp(options);
  await app.onApplicationStart();
  return { app, container: app.sharedContainer ?? sharedContainer };
}

async function main() {
  const { container } = await open();
  const inventory = container.resolve(Modules.INVENTORY);
  const { createReservationsWorkflow } = need("@medusajs/core-flows");
  const reserve = createReservationsWorkflow(container);
  let items = [];
  let prepared = 0;

  const operations = {
    // Items of an earlier load stay where they are; the audit counts only the present ones.
    async prepare({ units }) {
      prepared += 1;
      items = [];
      for (let from = 0; from < units.length; from += 500) {
        const part = units.slice(from, from + 500);
        const made = await inventory.createInventoryItems(
          part.map((_, index) => ({ sku: `bench-${prepared}-${from + index}` })),
        );
        const ids = new Map(made.map((item) => [item.sku, item.id]));
        const own = part.map((_, index) => ids.get(`bench-${prepared}-${from + index}`));
        await inventory.createInventoryLevels(
          own.map((id, index) => ({ inventory_item_id: id, location_id: "shop", stocked_quantity: part[index] })),
        );
        items.push(...own);
      }
      return {};
    },

    async sell({ sku, key }) {
      const reservation = { inventory_item_id: items[sku], location_id: "shop", quantity: 1, external_id: key };
      const { errors } = await reserve.run({ input: { reservations: [reservation] }, throwOnError: false });
      if (!errors?.length) return { sold: true };
      const [{ error }] = errors;
      if (/not enough stock/i.test(error.message)) return { sold: false };
      throw error;
    },

    async audit() {
      const reserved = new Map();
      let movements = 0;
      for (let from = 0; from < items.length; from += 500) {
        const own = items.slice(from, from + 500);
        const levels = await inventory.listInventoryLevels({ inventory_item_id: own }, { take: own.length });
        for (const level of levels) reserved.set(level.inventory_item_id, Number(level.reserved_quantity));
        const [, count] = await inventory.listAndCountReservationItems({ inventory_item_id: own }, { take: 1 });
        movements += count;
      }
      return { sold: items.map((id) => reserved.get(id)), movements };
    },
  };

  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, op, ...given } = JSON.parse(line);
    operations[op](given).then(
      (result) => say({ id, ok: true, ...result }),
      (error) => say({ id, ok: false, error: String(error?.message ?? error) }),
    );
  }).on("close", () => process.exit(0));
  say({ id: 0, ok: true });
}

main().catch((error) => {
  say({ id: 0, ok: false, error: String(error?.message ?? error) });
  console.error(error);
  process.exit(1);
});
