/** A command whose arguments' types stay inside it: citty's own type of a command is not assignable to its general one. */
import { type ArgsDef, type CommandDef, defineCommand } from 'citty';

export function command<T extends ArgsDef>(definition: CommandDef<T>): CommandDef {
  const general: unknown = defineCommand(definition);
  return general as CommandDef;
}
