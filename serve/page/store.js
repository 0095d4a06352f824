// This browser's storage, or nothing where the browser forbids it.

const attempt = (work) => {
  try {
    return work();
  } catch {
    return null; // private windows and some settings refuse storage; the page works without
  }
};

export const load = (key) => attempt(() => localStorage.getItem(key));
export const keep = (key, text) => attempt(() => localStorage.setItem(key, text));
