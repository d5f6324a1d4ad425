/** An option as shells complete it. */
export interface CompletedOption {
  /** `--name` and, if there is one, `-n`. */
  readonly flags: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** The values that it takes; undefined if they cannot be listed, as for files and numbers. */
  readonly choices: readonly string[] | undefined;
}

/** A command as shells complete it. The program itself is one, whose arguments are its commands. */
export interface CompletedCommand {
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletedOption[];
  /** What stands in place of arguments; undefined for files. */
  readonly choices: readonly string[] | undefined;
}

/** Returns the script of a shell. */
type Script = (program: CompletedCommand, commands: readonly CompletedCommand[]) => string;

/** Returns the script for bash 3.2 or later. Where it has no candidates, bash completes file names. */
export const bashScript: Script = (program, commands) => `# bash completion of weightpress
_weightpress() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" words=''
  if [[ $cur == = ]]; then
    cur=''
  elif [[ $prev == = ]]; then
    prev="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    case "$cur" in
      -*) words='${flagsOf(program)}' ;;
      *) words='${program.choices!.join(' ')}' ;;
    esac
  else
    case "\${COMP_WORDS[1]} $prev" in
${commands.flatMap((command) => command.options.flatMap((option) => bashValue(command, option))).join('\n')}
      *)
        case "\${COMP_WORDS[1]} $cur" in
${commands.flatMap(bashCommand).join('\n')}
        esac
        ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _weightpress weightpress`;

const flagsOf = ({ options }: CompletedCommand) => options.flatMap(({ flags }) => flags).join(' ');

/** Returns the case of what follows an option with a value. */
function bashValue({ name }: CompletedCommand, { flags, takesValue, choices }: CompletedOption): string[] {
  if (!takesValue) return [];
  const patterns = flags.map((flag) => `'${name} ${flag}'`).join(' | ');
  return [`      ${patterns}) ${choices ? `words='${choices.join(' ')}' ` : ''};;`];
}

/** Returns the cases of what is neither the command nor a value of an option. */
function bashCommand(command: CompletedCommand): string[] {
  const { name, choices } = command;
  return [
    `          '${name} -'*) words='${flagsOf(command)}' ;;`,
    ...(choices ? [`          '${name} '*) words='${choices.join(' ')}' ;;`] : []),
  ];
}

/** Returns the script for zsh. */
export const zshScript: Script = (program, commands) => `#compdef weightpress
# zsh completion of weightpress
_weightpress() {
  if ((CURRENT == 2)); then
    local -a commands=(
${commands.map(({ name, description }) => `      ${quoted(`${name}:${description}`)}`).join('\n')}
    )
    _describe command commands
    _arguments ${program.options.flatMap(zshOption).join(' ')}
    return
  fi
  shift words
  ((CURRENT--))
  case "$words[1]" in
${commands.map(zshCommand).join('\n')}
  esac
}
if [[ "$funcstack[1]" == _weightpress ]]; then
  _weightpress "$@"
else
  (($+functions[compdef])) || { autoload -U compinit && compinit; }
  compdef _weightpress weightpress
fi`;

function zshCommand({ name, options, choices }: CompletedCommand): string {
  const rest = choices ? `'1:argument:(${choices.join(' ')})'` : `'*:file:_files'`;
  const lines = [...options.flatMap(zshOption), rest].map((spec) => `      ${spec}`);
  return `    ${name}) _arguments \\\n${lines.join(' \\\n')} ;;`;
}

/** Returns a specification for each flag of an option, which excludes its other flags. */
function zshOption({ flags, description, takesValue, choices }: CompletedOption): string[] {
  const text = description.replaceAll(/[[\]\\:]/g, '\\$&');
  const value = takesValue ? `:value:${choices ? `(${choices.join(' ')})` : '_files'}` : '';
  return flags.map((flag) => quoted(`(${flags.join(' ')})${flag}[${text}]${value}`));
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** Returns the script for fish. */
export const fishScript: Script = (program, commands) =>
  [
    '# fish completion of weightpress',
    ...program.options.map((option) => fishOption('__fish_use_subcommand', option)),
    ...commands.map(
      ({ name, description }) =>
        `complete -c weightpress -n __fish_use_subcommand -f -a ${name} -d ${fishQuoted(description)}`,
    ),
    ...commands.flatMap(({ name, options, choices }) => {
      const within = `'__fish_seen_subcommand_from ${name}'`;
      return [
        ...options.map((option) => fishOption(within, option)),
        ...(choices ? [`complete -c weightpress -n ${within} -f -a '${choices.join(' ')}'`] : []),
      ];
    }),
  ].join('\n');

function fishOption(condition: string, { flags, description, takesValue, choices }: CompletedOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const value = choices ? [`-x -a '${choices.join(' ')}'`] : takesValue ? ['-r'] : [];
  return ['complete -c weightpress -n', condition, ...names, ...value, `-d ${fishQuoted(description)}`].join(
    ' ',
  );
}

const fishQuoted = (text: string) => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
