"""Networks of PyTorch over series and words, BERT's relatives among them, with random weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bench.formats.networks import CLASSES, PIECES, SERIES, WORDS, Calls, Network, causal, encoder, mean, of_words, recurrent


def series() -> list[Network]:
    """Of numbers, 6 channels of 20 places."""
    made = {
        "convolutions in time": lambda: nn.Sequential(
            nn.Conv1d(6, 16, 3), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(16, CLASSES)
        ),
        "causal, dilated": causal,
        "RNN": lambda: recurrent(nn.RNN),
        "GRU": lambda: recurrent(nn.GRU),
        "LSTM": lambda: recurrent(nn.LSTM),
        "LSTM, two layers, both ways": lambda: recurrent(nn.LSTM, num_layers=2, bidirectional=True, dropout=0.2),
        "LSTM with a projection": lambda: Calls(
            lambda own, x: own["end"](own["body"](x.transpose(1, 2))[0][:, -1]),
            body=nn.LSTM(6, 16, proj_size=8, batch_first=True),
            end=nn.Linear(8, CLASSES),
        ),
        "a cell by hand": lambda: Calls(by_hand, cell=nn.GRUCell(6, 16), end=nn.Linear(16, CLASSES)),
        "attention over time": lambda: Calls(
            lambda own, x: own["end"](own["body"](x.transpose(1, 2)).mean(1)),
            body=nn.TransformerEncoderLayer(6, 2, 12, batch_first=True),
            end=nn.Linear(6, CLASSES),
        ),
        "its autocorrelation": lambda: Calls(lambda own, x: own["end"]((x[:, :, 1:] * x[:, :, :-1]).mean(2)), end=nn.Linear(6, CLASSES)),
        "a spectrogram": lambda: Calls(
            lambda own, x: own["end"](torch.stft(x.flatten(1), 16, return_complex=True, window=torch.ones(16)).abs().mean(2)),
            end=nn.Linear(9, CLASSES),
        ),
    }
    return [Network(name, make, SERIES) for name, make in made.items()]


def by_hand(own, x):  # type: ignore[no-untyped-def]
    """Go through time one step after another."""
    state = x.new_zeros(len(x), 16)
    for at in range(x.shape[2]):
        state = own["cell"](x[:, :, at], state)
    return own["end"](state)


def words() -> list[Network]:
    """Of words, 20 numbers of 50 pieces and a mask."""
    made = {
        "the mean of words": lambda: of_words(lambda own, ids, mask: mean(own["table"](ids), mask)),
        "a bag of words": lambda: Calls(
            lambda own, ids, mask: own["end"](own["bag"](ids, per_sample_weights=mask.float())),
            bag=nn.EmbeddingBag(PIECES, 16, mode="sum"),
            end=nn.Linear(16, CLASSES),
        ),
        "convolutions over words": lambda: of_words(
            lambda own, ids, mask: own["conv"](own["table"](ids).transpose(1, 2)).amax(2), conv=nn.Conv1d(16, 16, 3)
        ),
        "LSTM over words": lambda: of_words(
            lambda own, ids, mask: mean(own["lstm"](own["table"](ids))[0], mask), lstm=nn.LSTM(16, 16, batch_first=True)
        ),
        "packed LSTM": lambda: of_words(packed, lstm=nn.LSTM(16, 16, batch_first=True)),
        "transformer with a mask": lambda: of_words(
            lambda own, ids, mask: mean(own["body"](own["table"](ids), src_key_padding_mask=mask == 0), mask),
            body=nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1, enable_nested_tensor=False),
        ),
        "attention's own function": lambda: of_words(
            lambda own, ids, mask: mean(
                F.scaled_dot_product_attention(own["table"](ids), own["table"](ids), own["table"](ids), attn_mask=mask[:, None, :] > 0),
                mask,
            )
        ),
        "hashed words": lambda: of_words(lambda own, ids, mask: mean(own["table"]((ids * 31 + 7) % PIECES), mask)),
        "one-hot words": lambda: Calls(
            lambda own, ids, mask: own["end"](F.one_hot(ids, PIECES).float().mean(1)), end=nn.Linear(PIECES, CLASSES)
        ),
    }
    own = [Network(name, make, WORDS) for name, make in made.items()]
    return [
        *own,
        encoder("BERT", "Bert"),
        encoder("RoBERTa", "Roberta", pad_token_id=1, max_position_embeddings=64),
        encoder("DistilBERT", "DistilBert", dim=32, hidden_dim=48, n_layers=2, n_heads=2),
        encoder("ALBERT", "Albert", embedding_size=16),
        encoder("ELECTRA", "Electra", embedding_size=16),
        encoder("MPNet", "MPNet"),
        encoder("DeBERTa", "DebertaV2", relative_attention=True, pos_att_type=["c2p", "p2c"], max_relative_positions=32),
        encoder(
            "ModernBERT",
            "ModernBert",
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            cls_token_id=1,
            sep_token_id=2,
            reference_compile=False,
        ),
        encoder("ConvBERT", "ConvBert", embedding_size=32, head_ratio=2, conv_kernel_size=3),
        encoder("XLM-RoBERTa", "XLMRoberta", pad_token_id=1, max_position_embeddings=64),
    ]


def packed(own, ids, mask):  # type: ignore[no-untyped-def]
    """Pack rows by their lengths, as PyTorch's tutorials do."""
    lengths = mask.sum(1).clamp(min=1).cpu()
    made = nn.utils.rnn.pack_padded_sequence(own["table"](ids), lengths, batch_first=True, enforce_sorted=False)
    return own["lstm"](made)[1][0][-1]
