/** Which known names a wrong one was probably meant to be. */

/** Up to `count` of `names`, nearest first: by Levenshtein distance, names that contain the wanted one ahead. */
export function nearestNames(wanted: string, names: Iterable<string>, count = 5): string[] {
  const distances = [...new Set(names)]
    .filter((name) => name !== '')
    .map((name) => ({ name, distance: name.includes(wanted) ? 0 : editDistance(wanted, name) }));
  distances.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return distances.slice(0, count).map(({ name }) => name);
}

/** Levenshtein distance of the first 80 characters. */
function editDistance(a: string, b: string): number {
  const [from, to] = [a.slice(0, 80), b.slice(0, 80)];
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const substituted = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
