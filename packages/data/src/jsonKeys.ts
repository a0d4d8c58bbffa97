/**
 * Finds a key that occurs twice in one JSON object. `JSON.parse` silently keeps the last one, which lets two readers
 * of one file see different tensors; formats that forbid duplicates need this look at the text itself.
 * The text must already have passed `JSON.parse`.
 */
export function duplicateKey(json: string): string | undefined {
  const stack: (Set<string> | null)[] = []; // one Set per open object, null per open array
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i);
    if (c === 0x7b) stack.push(new Set());
    else if (c === 0x5b) stack.push(null);
    else if (c === 0x7d || c === 0x5d) stack.pop();
    else if (c === 0x22) {
      const start = i++;
      while (json.charCodeAt(i) !== 0x22) i += json.charCodeAt(i) === 0x5c ? 2 : 1;
      const keys = stack.at(-1);
      if (!keys || !isKey(json, i + 1)) continue;
      const key = JSON.parse(json.slice(start, i + 1)) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function isKey(json: string, after: number): boolean {
  let i = after;
  while (i < json.length && json.charCodeAt(i) <= 0x20) i++;
  return json.charCodeAt(i) === 0x3a; // a colon
}
