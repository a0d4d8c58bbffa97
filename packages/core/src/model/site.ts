/** A place in a model that an SAE reads or writes. */
import { check, list, literal, object, optional, type Schema, text, whole } from '@msae/schema';

/** A named stretch of an activation's dimensions: a layer of a crosscoder, a head. */
export interface SitePart {
  readonly name: string;
  readonly width: number;
}

export interface Site {
  /** d: dimensions of an activation there, all parts together. */
  readonly width: number;
  /** Where in the model: a hook point, a tap. */
  readonly name?: string;
  /** The parts that lie side by side in a row, where there are several. */
  readonly parts?: readonly SitePart[];
  /** `heads`: activations may come as [B, heads, d_head] and are laid side by side. */
  readonly layout?: 'heads';
}

const schema: Schema<Site> = object<Site>({
  width: whole({ min: 1, help: 'dimensions of an activation' }),
  name: optional(text({ help: 'where in the model' })),
  parts: optional(list(object<SitePart>({ name: text(), width: whole({ min: 1 }) }), { least: 1 })),
  layout: optional(literal('heads')),
});

/** @throws MsaeError `option` for a width that is no whole number, or parts that do not add up to it. */
export function checkSite(site: Site, where: string): Site {
  const checked = check(schema, site, where);
  const total = checked.parts?.reduce((sum, part) => sum + part.width, 0) ?? checked.width;
  return total === checked.width
    ? checked
    : check(
        schema,
        { ...site, width: undefined },
        `${where}: its parts are ${total} wide together, not ${checked.width}`,
      );
}
