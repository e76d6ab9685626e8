//! How a command speaks.

use super::{
    Arguments, CatalogCommand, Command, ConfigCommand, FilesCommand, GlobalArguments, KeyCommand,
};
use crate::output::{Output, Style};

impl Arguments {
    /// How the command speaks.
    pub(crate) fn output(&self) -> Output {
        let GlobalArguments {
            json,
            quiet,
            verbose,
            ..
        } = self.global;
        let style = if json { Style::Json } else { Style::Text };
        Output {
            style,
            verbosity: if quiet { 0 } else { 1 + verbose },
            is_document: self.command.gives_document(style),
        }
    }
}

impl Command {
    /// Whether all of standard output is one document or the bytes of one file.
    fn gives_document(&self, style: Style) -> bool {
        match self {
            Self::Cat(_) | Self::List(_) | Self::Completions(_) => true,
            Self::Files(FilesCommand::Dump(_)) | Self::Config(ConfigCommand::Schema) => true,
            Self::Dump(arguments) => arguments.target.is_none(),
            Self::Restore(arguments) => arguments.target.as_os_str() == "-",
            Self::Report(arguments) => arguments.output.is_none(),
            Self::Man(arguments) => arguments.folder.is_none(),
            Self::Catalog(CatalogCommand::Export { target, .. }) => target.is_none(),
            Self::Config(ConfigCommand::Generate(arguments)) => arguments.dry_run,
            Self::Config(ConfigCommand::Import(arguments)) => arguments.output.is_none(),
            // Others give a line for each thing, and say which kind of line it is.
            Self::Snapshots(_) | Self::Find(_) | Self::Stats(_) | Self::Key(KeyCommand::List) => {
                style == Style::Json
            }
            _ => false,
        }
    }
}
