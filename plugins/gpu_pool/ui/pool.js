// The plugin's JSON API.

import { call as ask, speak } from "./server.js";
import { t } from "./texts.js";

speak(t);
export const call = (path, options) => ask(`gpu-pool/v1/${path}`, options);
