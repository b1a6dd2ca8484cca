/** Writes the job which the guest's init evaluates: one line of shell with settings, the command, and the shares. */

/**
 * Quotes for the shell, on one line whatever the text.
 * @param {string} text
 */
const quote = (text) => `'${text.replaceAll("'", `'\\''`).replaceAll('\n', `'"$newline"'`)}'`;

/**
 * @param {object} job
 * @param {readonly string[]} job.command
 * @param {string} job.context
 * @param {boolean} job.permissive
 * @param {string} job.marker what the guest ends each stream with
 * @param {readonly { tag: string, directory: string, readOnly: boolean }[]} job.shares
 * @returns {string} a line
 */
export function encodeJob({ command, context, permissive, marker, shares }) {
  // The command is quoted twice: init keeps its words as one variable, because its own arguments are the shares.
  const settings = {
    marker,
    enforcing: permissive ? '0' : '1',
    command_context: context,
    command: command.map(quote).join(' '),
  };
  const words = shares.flatMap(({ tag, directory, readOnly }) => [tag, directory, readOnly ? 'ro' : 'rw']);
  return `${[
    // The only newline that cannot be written on one line is made with printf.
    `newline=$(printf '\\n_')`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's, not JavaScript's
    'newline=${newline%_}',
    ...Object.entries(settings).map(([name, value]) => `${name}=${quote(value)}`),
    `set -- ${words.map(quote).join(' ')}`,
  ].join('; ')}\n`;
}
