// What survives a power cut. Where storage is full or forbidden, nothing does.

const RECORD = "slotkeeper1:";
const RECEIPT = "slotkeeper1r:";

const attempt = (act) => {
  try {
    return act();
  } catch {
    return null;
  }
};

/** Where texts are kept, each under a key, after a line with the time it was written at. */
export function openStorage(isWanted) {
  const storage = isWanted && attempt(() => localStorage);
  return {
    keyOf: (isReceipt, id) => (isReceipt ? RECEIPT : RECORD) + id,
    /** Keeps a text; forgets what was there if it is empty. */
    write(key, text) {
      attempt(() => {
        if (text) storage.setItem(key, `${Date.now()}\n${text}`);
        else storage.removeItem(key);
      });
    },
    read: (key) => attempt(() => storage.getItem(key)),
    /** What other clients left, the newest first. */
    found() {
      const keys = attempt(() => Object.keys(storage)) || [];
      return keys.filter((key) => key.startsWith(RECORD) || key.startsWith(RECEIPT)).map((key) => {
        const value = this.read(key) || "";
        const text = value.slice(value.indexOf("\n") + 1);
        return { key, value, text, isReceipt: key.startsWith(RECEIPT), writtenAt: parseFloat(value) || 0 };
      }).sort((one, other) => other.writtenAt - one.writtenAt);
    },
  };
}
