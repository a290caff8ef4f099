"""The loss: InfoNCE over a batch, in one pass or by GradCache (SPEED Eq. 4, E5 Eq. 2-3)."""

from collections.abc import Sequence

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn

from hub_speed.training.process.together import all_rows, processes, share

PIECE = 16
"""Texts embedded together when a whole batch is in memory. Measured on a CPU: 8 to 32 take the same time."""


class InfoNCE(CachedLossMixin, nn.Module):
    """−log of the positive's share of φ over all documents of the batch, φ(q, d) = exp(cos(q, d) / τ).

    Every query sees the positives and hard negatives of all rows, whichever process embedded them, but for those that
    would be wrong as its negatives: documents of the same text or the same label as its positive, the other answers to
    the same query, and, with `false_negative_margin`, documents that lie nearer to the query than its positive by more
    than that margin.

    Args:
        model: the embedder.
        temperature: τ.
        mini_batch_size: a batch of more rows a process than this is embedded so many texts at a time and a second
            time for the gradients (GradCache, arXiv 2101.06983): the same result but for rounding, in less memory.
        false_negative_margin: a difference of cosines; None leaves nothing out.
        dimensions: the loss is the mean over embeddings cut to each of these (Matryoshka, arXiv 2205.13147).
    """

    def __init__(
        self,
        model: SentenceTransformer,
        temperature: float,
        mini_batch_size: int,
        false_negative_margin: float | None,
        dimensions: Sequence[int],
    ) -> None:
        super().__init__()
        self.model, self.temperature, self.mini_batch_size = model, temperature, mini_batch_size
        self.margin, self.dimensions = false_negative_margin, dimensions

    def forward(self, sentence_features: Sequence[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of a batch, as `batching.Collate` makes it: all texts in one column, short ones first.

        Of several processes, each embeds its share of the texts, and each computes the loss of the whole batch.
        """
        [texts], rows = list(sentence_features), int((labels[1] < 0).sum())
        mine = share(labels.shape[1])
        texts = {name: value[mine] for name, value in texts.items()}
        if rows > self.mini_batch_size * processes() and torch.is_grad_enabled():
            return self.forward_cached([texts], labels)
        total = len(texts["input_ids"])
        pieces = (
            self.embed_minibatch(texts, i, i + PIECE, with_grad=torch.is_grad_enabled(), copy_random_state=False)[0]
            for i in range(0, total, PIECE)
        )
        return self.calculate_loss([list(pieces)], labels)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss from embeddings that come in pieces.

        Args:
            reps: one column of pieces; together this process's share of M texts × D dimensions.
            labels: 4 × M: the place of each text in the batch (queries, then their positives in the same order, then
                hard negatives); a number that equal texts share, negative for queries; one that those of the same
                label share, negative for those without; and one that a query shares with its answers, negative for
                hard negatives.
            with_backward: also compute the gradients of the pieces.
        """
        assert labels is not None
        back_M = labels[0].argsort()
        texts_MD, same_3M = all_rows(torch.cat(reps[0]), len(back_M))[back_M].float(), labels[1:, back_M]
        rows = int((same_3M[0] < 0).sum())
        with torch.no_grad():
            wrong_BN = self._not_negatives(texts_MD[:rows], texts_MD[rows:], same_3M[:, rows:])
        target = torch.arange(rows, device=texts_MD.device)
        losses = []
        for dimension in self.dimensions:
            cut_MD = nn.functional.normalize(texts_MD[:, :dimension], dim=-1)
            scores_BN = cut_MD[:rows] @ cut_MD[rows:].T / self.temperature
            losses.append(nn.functional.cross_entropy(scores_BN.masked_fill(wrong_BN, -torch.inf), target))
        loss = torch.stack(losses).mean()
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss

    def _not_negatives(self, queries_BD: Tensor, documents_ND: Tensor, same_3N: Tensor) -> Tensor:
        """B × N: the documents that are left out of each query's negatives; never its positive."""
        rows = torch.arange(len(queries_BD), device=queries_BD.device)
        text_N, label_N, query_N = same_3N
        wrong_BN: Tensor = (text_N[rows, None] == text_N) | ((label_N[rows, None] == label_N) & (label_N >= 0))
        wrong_BN |= query_N[rows, None] == query_N  # each positive answers its own query: none of these is negative
        if self.margin is not None:
            cosines_BN = nn.functional.normalize(queries_BD, dim=-1) @ nn.functional.normalize(documents_ND, dim=-1).T
            wrong_BN = wrong_BN | (cosines_BN > cosines_BN.diagonal()[:, None] + self.margin)
        wrong_BN[rows, rows] = False
        return wrong_BN
