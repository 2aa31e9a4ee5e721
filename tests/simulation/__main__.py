"""`python -m tests.simulation SEED` lives the life of this seed again and tells what happened."""

from __future__ import annotations

import click

from tests.simulation.lives import Broken, live


@click.command()
@click.argument("seed", type=int)
@click.option("--lives", type=click.IntRange(min=1), default=1, help="So many, each with the next seed.")
def main(seed: int, lives: int) -> None:
    """Live through misfortune, and say what broke."""
    for each in range(seed, seed + lives):
        try:
            history = live(each)
        except Broken as error:
            raise click.ClickException(str(error)) from error
        if lives == 1:
            click.echo("\n".join(history))
    click.echo(f"nothing broke in {lives}")


if __name__ == "__main__":
    main()
