/** Elements without a framework: all text goes in as text nodes, so nothing in the data can become markup. */

type Child = Node | string | number | null | undefined | false;
type Props = Record<string, string | number | boolean | ((event: Event) => void) | undefined>;

/** An element; `class`, attributes and `onclick`-like listeners by name, `style` as text. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

const SVG = 'http://www.w3.org/2000/svg';

/** A little bar chart without axes, as tall as its box; `label` is what a screen reader says. */
export function bars(values: ArrayLike<number>, label: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${values.length} 100`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  const most = Math.max(1e-12, ...Array.from(values));
  for (let k = 0; k < values.length; k++) {
    if (!values[k]) continue;
    const height = Math.max(2, (100 * values[k]!) / most);
    const rect = document.createElementNS(SVG, 'rect');
    for (const [name, value] of Object.entries({ x: k + 0.06, width: 0.88, y: 100 - height, height })) {
      rect.setAttribute(name, String(value));
    }
    svg.appendChild(rect);
  }
  return svg;
}
