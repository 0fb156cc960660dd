// "{path} answered {status}." with the facts that a caller gives.
export const fill = (text, facts = {}) => text.replace(/\{(\w+)\}/g, (_, name) => String(facts[name] ?? ""));
