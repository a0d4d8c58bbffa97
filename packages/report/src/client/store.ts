/** What the reader has chosen. One object, changed in one place; the latent and run are kept in the address, so links work. */

export type SortKey = 'latent' | 'density' | 'max' | 'label' | 'children';

export interface Choice {
  readonly run: number;
  readonly latent: number | null;
  readonly view: 'list' | 'forest';
  readonly query: string;
  readonly sort: SortKey;
  readonly descending: boolean;
}

export interface Store {
  readonly choice: Choice;
  set(change: Partial<Choice>): void;
  subscribe(listener: (choice: Choice, before: Choice) => void): void;
}

export function createStore(initial: Choice): Store {
  let choice = initial;
  const listeners: ((choice: Choice, before: Choice) => void)[] = [];
  return {
    get choice() {
      return choice;
    },
    set(change) {
      const before = choice;
      choice = { ...choice, ...change };
      for (const listener of listeners) listener(choice, before);
    },
    subscribe: (listener) => {
      listeners.push(listener);
    },
  };
}

/** `#run=0&latent=12` */
export function choiceFromHash(hash: string, sizes: readonly number[]): Pick<Choice, 'run' | 'latent'> {
  const params = new URLSearchParams(hash.replace(/^#/, ''));
  const whole = (name: string, below: number) => {
    const text = params.get(name);
    const value = Number(text);
    return text !== null && text !== '' && Number.isInteger(value) && value >= 0 && value < below
      ? value
      : null;
  };
  const run = whole('run', sizes.length) ?? 0;
  return { run, latent: whole('latent', sizes[run] ?? 0) };
}

export function hashFromChoice({ run, latent }: Choice): string {
  return latent === null ? ' ' : `#run=${run}&latent=${latent}`;
}
