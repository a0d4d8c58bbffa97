/** Which known names a wrong one was probably meant to be. */

/** ` (did you mean X?)` for the known name nearest to a wrong one, or nothing where none is near. */
export function didYouMean(wrong: string, known: Iterable<string>, dashes = ''): string {
  let [best, least] = ['', Number.POSITIVE_INFINITY];
  for (const name of known) {
    const distance = editDistance(wrong, name);
    if (distance < least) [best, least] = [name, distance];
  }
  return least <= Math.max(2, Math.ceil(best.length / 2)) ? ` (did you mean ${dashes}${best}?)` : '';
}

/** Up to `count` of the known names, nearest first; names that contain the wrong one lead. */
export function nearestNames(wrong: string, known: Iterable<string>, count = 5): string[] {
  const distances = [...new Set(known)]
    .filter((name) => name !== '')
    .map((name) => ({ name, distance: name.includes(wrong) ? 0 : editDistance(wrong, name) }));
  distances.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return distances.slice(0, count).map(({ name }) => name);
}

/** Levenshtein distance of the first 80 characters; case and dashes cost nothing, nor does an end that is cut off. */
function editDistance(a: string, b: string): number {
  const [from, to] = [plain(a), plain(b)];
  if (from.length >= 3 && to.startsWith(from)) return 0.5;
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

const plain = (name: string): string => name.slice(0, 80).toLowerCase().replaceAll(/[-_]/g, '');
