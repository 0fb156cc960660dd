// The page's texts, for all its parts.

import { texts } from "./language.js";

export const t = await texts((name) => import(`./gpus.${name}.js`));
