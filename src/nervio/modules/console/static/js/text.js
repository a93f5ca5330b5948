// Texts for scripts. The server writes one module per language from the same dictionaries that the pages use, so a text
// exists in both languages or the tests fail.
const { default: texts } = await import(`../texts/${document.documentElement.lang}.js`);

/** The text of `key` with `{name}` filled in. With `n`, the `.one` or `.other` form of the key. */
export function t(key, values = {}) {
  const form = key in texts ? key : `${key}.${values.n === 1 ? "one" : "other"}`;
  return (texts[form] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
