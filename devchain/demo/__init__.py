"""The demo: real prices of August 2023 against a lending contract, watched by Plimsoll.

prices.py     the Chainlink rounds
story.py      borrowers, lenders and a liquidator on a dev chain
program.py    runs the plimsoll binary, as cron would, and reads its JSON
screen.py     the picture in the terminal, or plain lines
guard.py      takes everything down, whatever way the demo ends
play.py       the whole of it
"""
