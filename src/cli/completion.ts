import { Argument, Command, type Option } from 'commander';
import {
  bashScript,
  type CompletedCommand,
  type CompletedOption,
  fishScript,
  zshScript,
} from './completion-scripts.js';
import { print } from './terminal.js';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** `weightpress completion SHELL`: `loadAll` returns all commands with their options. */
export function completionCommand(loadAll: () => Promise<readonly Command[]>): Command {
  return new Command('completion')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      `
Examples:
  $ weightpress completion bash > ~/.weightpress.bash && echo '. ~/.weightpress.bash' >> ~/.bashrc
  $ weightpress completion zsh > ~/.weightpress.zsh && echo '. ~/.weightpress.zsh' >> ~/.zshrc
  $ mkdir -p ~/.config/fish/completions && weightpress completion fish > ~/.config/fish/completions/weightpress.fish

Each example installs completion for one shell, in those that are started from then on.`,
    )
    .action(async (shell: keyof typeof SCRIPTS, _, command: Command) => {
      const commands = (await loadAll()).map((each) => describe(each));
      const names = [...commands.map(({ name }) => name), 'help'];
      const help = { name: 'help', description: 'display help for command', options: [], choices: names };
      const program = { ...describe(command.parent!), choices: names };
      print(SCRIPTS[shell](program, [...commands, help]));
    });
}

function describe(command: Command): CompletedCommand {
  return {
    name: command.name(),
    description: command.description(),
    options: command.createHelp().visibleOptions(command).map(describeOption),
    choices: command.registeredArguments[0]?.argChoices,
  };
}

function describeOption({
  long,
  short,
  description,
  required,
  optional,
  argChoices,
}: Option): CompletedOption {
  return {
    flags: [long, short].filter((flag) => flag !== undefined),
    description,
    takesValue: required || optional,
    choices: argChoices,
  };
}
