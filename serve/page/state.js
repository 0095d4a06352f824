// SessionState, the server's: which object is the present one, what a reply makes of it, and the actions that lead to it.

/** The object that clicks go to. */
export const presentOf = (state) => state.objects.find((object) => object.object === state.present);

/** The state after an action's reply. */
export function after(state, reply) {
  const { revision, network, object: present, can_undo, can_redo, clicks, area, box, rle } = reply;
  const objects =
    reply.objects ??
    state.objects.map((object) => (object.object === present ? { ...object, clicks, area, box, rle } : object));
  return { ...state, revision, network, present, can_undo, can_redo, objects };
}

/**
 * The actions that make a session of the same photograph the same again; and its first network.
 *
 * @param waiting actions that are not done yet, which come after them
 */
export function asActions(state, waiting) {
  const actions = [];
  const numbers = new Map(); // the new session counts its objects from 0
  const present = presentOf(state);
  const finished = state.objects.filter((object) => object !== present);
  const first = (finished[0] ?? present).network;
  let network = first;
  const use = (wanted) => {
    if (wanted !== network) actions.push({ type: "network", network: (network = wanted) });
  };
  const click = ({ x, y, positive }) => actions.push({ type: "click", x, y, positive });
  for (const object of finished) {
    use(object.network);
    object.clicks.forEach(click);
    numbers.set(object.object, numbers.size);
    actions.push({ type: "finish" });
    if (object.hidden) actions.push({ type: "hide", object: numbers.get(object.object) });
  }
  use(present.network);
  present.clicks.forEach(click);
  numbers.set(present.object, numbers.size);
  if (present.hidden) actions.push({ type: "hide", object: numbers.get(present.object) });
  for (const { type, x, y, positive, object, network } of waiting) {
    actions.push({ type, x, y, positive, object: numbers.get(object), network });
  }
  return { network: first, actions };
}
