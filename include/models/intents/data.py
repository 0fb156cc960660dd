"""What people ask a bank's assistant, made by this file: 160 wordings written for it, with names, sums and days put in, and
typing mistakes. The same rows for the same seed.

No wording is on both sides (`data.group`): the held-out questions are asked in words that training has not seen.
"""

import numpy as np
import pandas as pd

ROWS_A_WORDING = 5
CARDS = ("debit card", "credit card", "Visa", "bank card", "card")
PEOPLE = ("my sister", "my landlord", "Amira", "Jonas", "the plumber", "my flatmate", "Mr Okafor", "our kindergarten")
SUMS = ("20 euros", "€350", "1,200.50 EUR", "five hundred", "75 pounds", "£9.99")
DAYS = ("today", "on Monday", "at the end of the month", "tomorrow morning", "on the 3rd", "next week")
SHOPS = ("the supermarket", "an airline", "a hotel in Porto", "some web shop", "the petrol station", "Bakery Lund")
PLACES = ("Vietnam", "the airport", "Lisbon", "Canada", "my village", "the city centre")
WORDINGS = {
    "lost card": """I lost my {card}|my {card} is gone, what now|somebody stole my {card}|please block my {card} at once
        can't find my {card} anywhere|my wallet with the {card} was stolen in {place}|freeze the {card}, I left it in {place}
        I think I dropped my {card} near {place}|my {card} has disappeared|stop my {card}, it was taken from my bag
        a pickpocket got my {card}|deactivate my stolen {card}|I must report a missing {card}|someone else has my {card} now
        the machine in {place} swallowed my {card}|my purse is missing and so is the {card}|how do I lock a {card} that I have mislaid
        I need to cancel a {card} that was robbed|left my {card} in a taxi|the {card} isn't where I put it {day}""",
    "transfer": """send {sum} to {person}|I want to transfer {sum} to {person}|pay {person} {sum} {day}|move {sum} into {person}'s account
        can you wire {sum} to {person}|how do I give {person} {sum}|make a payment of {sum} to {person}|I owe {person} {sum}, please pay
        set up a transfer of {sum} for {person} {day}|{person} should get {sum} from me {day}|remit {sum} to {person}
        please settle the {sum} that I owe {person}|I'd like to hand {sum} over to {person}|a standing order of {sum} for {person}
        forward {sum} to {person}, please|let {person} have {sum} {day}|deposit {sum} with {person}|can I pay {person} from the app
        put {sum} on {person}'s account {day}|execute a bank transfer to {person}, {sum}""",
    "balance": """how much money do I have|what is my balance|show me the balance of my account|what's left in my account {day}
        am I overdrawn|how much can I still spend {day}|do I have {sum} in my account|tell me what is in my savings
        is there enough money left for {sum}|current account total, please|how rich am I {day}|what remains on my account
        check the funds in my account|I'd like to know my account's state|how far am I in the red|give me my available amount
        can I afford {sum} with what I have|what sum is sitting in my savings account|display my funds|money in my account?""",
    "unknown charge": """there is a charge of {sum} that I did not make|I don't recognise a payment to {shop}|{shop} took {sum} twice
        why did {shop} charge me {sum}|who debited {sum} {day}|I never bought anything from {shop}|dispute the {sum} from {shop}
        I want my {sum} back from {shop}|a debit of {sum} that is not mine|{shop} has charged the wrong amount
        this booking of {sum} is a mistake|what is this {sum} on my statement|I was billed {sum} by {shop} without ordering
        someone used my account at {shop}|refund the {sum} that {shop} withdrew|an unfamiliar withdrawal of {sum} {day}
        I did not authorise {sum} at {shop}|cancel the debit of {sum}, it is fraud|my statement lists {shop}, I was never there
        {shop} keeps taking money I never agreed to""",
    "pin": """I forgot my PIN|how can I change the PIN of my {card}|my PIN is not accepted|I entered the wrong code three times
        I'd like a new PIN for my {card}|what is the secret number of my {card}|reset the code of my {card}|the {card}'s PIN is blocked
        I can't remember the four digits|where do I see my PIN|choose another PIN|my {card} says wrong PIN
        unlock my PIN, please|the cash machine refuses my number|send me the PIN letter again|the PIN never arrived by post
        I mistyped my PIN too often|is it possible to pick my own code|can I have the same PIN for both cards
        the pin pad rejects my code""",
    "travel": """can I use my {card} in {place}|I'm going to {place} {day}, will my {card} work|what are the fees abroad
        does paying in {place} cost extra|I will be in {place} {day}, please don't block my {card}|which exchange rate do I get in {place}
        tell the bank that I travel to {place}|is there a charge for withdrawing cash in {place}|foreign currency for my trip to {place}
        how do I pay on holiday in {place}|should I take cash or my {card} to {place}
        what does it cost to use the {card} outside the country
        enable my {card} for {place}|I fly to {place} {day}, do you need to know|commission on payments in another currency
        are cash machines free in {place}|my journey to {place} begins {day}, is my {card} valid there|spending money overseas
        what happens when I pay in dollars|roaming charges for my {card} abroad""",
    "open account": """I want to open an account|how do I become a customer|what do I need for a new account
        open a savings account for {person}
        can {person} get an account with you|I'd like a joint account with {person}|sign me up|which documents do you need from me
        do you have accounts for students|start a business account {day}|can I open an account without an appointment
        how long until my new account is ready|I am new here and need a bank account|apply for a current account
        register {person} as a new client|is there a free account for children|I'd like to join your bank
        get me a second account|create an account online|my salary needs an account, where do I begin""",
    "talk to a person": """I want to talk to a human|connect me to an adviser|can somebody call me {day}|give me a real person
        I'd rather speak to someone|is there a phone number|this bot does not help me|transfer me to your staff
        let me chat with an agent|when is the branch in {place} open|I need an appointment {day}|may I visit you in {place}
        how do I reach customer service|put me through to the hotline|no more robots, please|who can I complain to
        can an employee help me {day}|I would like advice in person|ring me back {day}|are you a machine? get me a clerk""",
}
WORDS = {"card": CARDS, "person": PEOPLE, "sum": SUMS, "day": DAYS, "shop": SHOPS, "place": PLACES}


def mistyped(text: str, chance: np.random.Generator) -> str:
    """Two letters swapped, one left out, or one twice; as people type on a telephone."""
    at = int(chance.integers(1, len(text) - 1))
    how = int(chance.integers(3))
    changed = text[at + 1] + text[at] if how == 0 and at + 1 < len(text) else "" if how == 1 else text[at] * 2
    return text[:at] + changed + text[at + (2 if how == 0 else 1) :]


def load() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    rows: dict[tuple[str, str], tuple[str, str]] = {}
    for intent, text in WORDINGS.items():
        for wording in (part.strip() for line in text.splitlines() for part in line.split("|")):
            for _ in range(ROWS_A_WORDING):
                said = wording.format_map({name: str(chance.choice(words)) for name, words in WORDS.items()})
                said = said.lower() if chance.random() < 0.3 else said
                quick = chance.random() < 0.4
                said = mistyped(mistyped(said, chance), chance) if quick else said
                rows[intent, said] = (wording, "in a hurry" if quick else "careful")
    # The model never sees wording and typing: rows are divided by the one, the gate compares the other.
    found = [(said, intent, wording, typing) for (intent, said), (wording, typing) in rows.items()]
    return pd.DataFrame(found, columns=["text", "intent", "wording", "typing"])
