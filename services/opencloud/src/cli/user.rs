//! `opencloud user`.

use clap::{Subcommand, ValueEnum};
use oc_proto::backend::v1::CreateUserRequest;

use super::{Context, Outcome, when};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    /// Search, run workflows, see own runs
    User,
    /// Besides, decide what is offered and who may use it
    Operator,
    /// Besides, accounts, networks and keys
    Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account and print its token, once
    Add {
        /// Login name
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value = "user")]
        role: RoleName,
    },
    /// Accounts of this node
    List,
    /// Remove an account and its tokens
    Remove {
        /// Login name
        name: String,
    },
    /// Whose token is this?
    Me,
}

pub(crate) async fn run(context: &Context, command: UserCommand) -> Outcome {
    let backend = context.client.backend();
    match command {
        UserCommand::Add { name, role } => {
            let role = role
                .to_possible_value()
                .map(|value| value.get_name().to_owned());
            let request = CreateUserRequest {
                name,
                roles: role.into_iter().collect(),
            };
            let answer = backend.create_user(&request).await?;
            context.output.show(&answer, |answer| {
                anstream::println!("{}", answer.token);
                anstream::eprintln!("this token is shown once: save it to a file for --token-file");
            })
        }
        UserCommand::List => {
            let users = backend.users().await?;
            context
                .output
                .list(&users, "no accounts", ["NAME", "ROLES", "SINCE"], |user| {
                    [
                        user.name.clone(),
                        user.roles.join(", "),
                        when::show(user.created_at_ms),
                    ]
                })
        }
        UserCommand::Remove { name } => {
            context.confirm(&format!("Remove {name}? The token stops working at once."))?;
            backend.delete_user(&name).await?;
            context.output.say(&format!("removed {name}"));
            Ok(())
        }
        UserCommand::Me => {
            let me = backend.me().await?;
            context.output.show(&me, |me| {
                let since = when::show(me.created_at_ms);
                anstream::println!("{} ({}), since {since}", me.name, me.roles.join(", "));
            })
        }
    }
}
