// Every scenario.
//
// | field | what it says |
// | --- | --- |
// | `breaks` | what the edge answers: the ads of the first break, of the second, … |
// | `expected` | the exact set of what the origin shall have: of each slot (`1.0` is the first of the second break), its events |
// | `details` | what the beacon of an event must say besides |
// | `page`, `again` | run in the engine: what this page does, and what the one does that comes after it |
// | `shared` | what both call |
// | `drive` | runs here, beside the engine |
// | `isLeft` | the page marks that it is `leaving`, and does not come to its end |
// | `duplicates` | beacons may come twice; the origin counts them once |
// | `repeats` | an event happens many times, which is no duplicate |
// | `heardMore` | more happens than can be expected to arrive |
// | `fault` | for the page to give to the edge |
// | `check` | says what else is wrong |
// | `note` | what the reader of the table must know |

import { AROUND } from "./around.mjs";
import { DELIVERY } from "./delivery.mjs";
import { LEAVING } from "./leaving.mjs";
import { PLAYING } from "./playing.mjs";

export const SCENARIOS = [...PLAYING, ...AROUND, ...DELIVERY, ...LEAVING];
