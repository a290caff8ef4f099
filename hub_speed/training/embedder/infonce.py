"""The loss: InfoNCE over a batch, in one pass or by GradCache (SPEED Eq. 4, E5 Eq. 2-3), maybe with two teachers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn

from hub_speed.training.process.together import all_rows, processes, share

PIECE = 16
"""Texts embedded together when a whole batch is in memory. Measured on a CPU: 8 to 32 take the same time."""


@dataclass(frozen=True)
class Teachers:
    """What is learnt beside the rows.

    Attributes:
        distil: weight of the distance to a reranker's view of each query's own documents; 0: none.
        distil_temperature: what the reranker's logits are divided by.
        targets_TD: vectors of a larger embedder, of unit length; None: none.
        weight: of the distance to these.
    """

    distil: float = 0.0
    distil_temperature: float = 1.0
    targets_TD: Tensor | None = None
    weight: float = 0.0


class Documents(NamedTuple):
    """What is known of the N documents of a batch; see `InfoNCE.calculate_loss`."""

    text_N: Tensor
    label_N: Tensor
    query_N: Tensor
    row_N: Tensor
    positive_N: Tensor
    score_N: Tensor
    target_N: Tensor

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Row and document of every positive, P of them; the first ones are the rows' first positives, in order."""
        place_P = self.positive_N.nonzero()[:, 0]
        return self.row_N[place_P], place_P


class InfoNCE(CachedLossMixin, nn.Module):
    """−log of the positive's share of φ over all documents of the batch, φ(q, d) = exp(cos(q, d) / τ).

    Every query sees the positives and hard negatives of all rows, whichever process embedded them, but for those that
    would be wrong as its negatives: documents of the same text or the same label as its positive, the other answers to
    the same query, and, with `false_negative_margin`, documents that lie nearer to the query than its positive by more
    than that margin. Of a row with several positives the loss is the mean over them; none is another one's negative.

    Args:
        model: the embedder.
        temperature: τ.
        mini_batch_size: a batch of more rows a process than this is embedded so many texts at a time and a second
            time for the gradients (GradCache, arXiv 2101.06983): the same result but for rounding, in less memory.
        false_negative_margin: a difference of cosines; None leaves nothing out.
        dimensions: the loss is the mean over embeddings cut to each of these (Matryoshka, arXiv 2205.13147).
        teachers: a reranker and a larger embedder, whose distances are added to the loss.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        temperature: float,
        mini_batch_size: int,
        false_negative_margin: float | None,
        dimensions: Sequence[int],
        teachers: Teachers | None = None,
    ) -> None:
        super().__init__()
        self.model, self.temperature, self.mini_batch_size = model, temperature, mini_batch_size
        self.margin, self.dimensions, self.teachers = false_negative_margin, dimensions, teachers or Teachers()

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
            labels: 8 × M: the place of each text in the batch (queries, then their first positives in the same order,
                then other documents); a number that equal texts share, negative for queries; one that those of the
                same label share, negative for those without; one that a query shares with its answers, negative for
                hard negatives; the number of the row; whether the text is a positive; the bits of its score; the number
                of its target, negative without one.
            with_backward: also compute the gradients of the pieces.
        """
        assert labels is not None
        back_M = labels[0].argsort()
        texts_MD, known_7M = all_rows(torch.cat(reps[0]), len(back_M))[back_M].float(), labels[1:, back_M]
        rows = int((known_7M[0] < 0).sum())
        documents = Documents(*known_7M[:, rows:])
        row_P, place_P = documents.pairs()
        with torch.no_grad():
            wrong_PN = self._not_negatives(texts_MD[:rows], texts_MD[rows:], documents)
            share_P = 1 / row_P.bincount()[row_P] / rows  # of each positive in the mean over rows
        losses = []
        for dimension in self.dimensions:
            cut_MD = nn.functional.normalize(texts_MD[:, :dimension], dim=-1)
            scores_BN = cut_MD[:rows] @ cut_MD[rows:].T / self.temperature
            scores_PN = scores_BN[row_P].masked_fill(wrong_PN, -torch.inf)
            loss = (nn.functional.cross_entropy(scores_PN, place_P, reduction="none") * share_P).sum()
            if self.teachers.distil:
                loss = loss + self.teachers.distil * self._distance_to_reranker(scores_BN, documents)
            losses.append(loss)
        loss = torch.stack(losses).mean()
        if self.teachers.targets_TD is not None:
            loss = loss + self.teachers.weight * self._distance_to_embedder(texts_MD, known_7M[6])
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss

    def _not_negatives(self, queries_BD: Tensor, documents_ND: Tensor, documents: Documents) -> Tensor:
        """P × N: the documents that are left out of the negatives of each positive's query; never that positive."""
        text_N, label_N, query_N = documents.text_N, documents.label_N, documents.query_N
        row_P, place_P = documents.pairs()
        wrong_PN: Tensor = (text_N[place_P, None] == text_N) | (
            (label_N[place_P, None] == label_N) & (label_N[place_P, None] >= 0)
        )
        wrong_PN |= query_N[place_P, None] == query_N  # each positive answers its own query: none of these is negative
        if self.margin is not None:
            cosines_BN = nn.functional.normalize(queries_BD, dim=-1) @ nn.functional.normalize(documents_ND, dim=-1).T
            wrong_PN = wrong_PN | (cosines_BN[row_P] > cosines_BN[row_P, place_P][:, None] + self.margin)
        if len(row_P) > len(queries_BD):  # what is wrong beside one positive of a row is so beside its others
            counts_BN = torch.zeros(len(queries_BD), len(text_N), device=wrong_PN.device)
            wrong_PN = (counts_BN.index_add(0, row_P, wrong_PN.float()) > 0)[row_P]
        wrong_PN[torch.arange(len(row_P), device=wrong_PN.device), place_P] = False
        return wrong_PN

    def _distance_to_reranker(self, scores_BN: Tensor, documents: Documents) -> Tensor:
        """KL divergence of the embedder's shares of each query's own documents from the reranker's; a mean over rows.

        As sentence-transformers' DistillKLDivLoss, but not multiplied by τ²: so its gradients are as large as InfoNCE's
        at any τ. A row with fewer than two scored documents says nothing.
        """
        score_N = documents.score_N.int().view(torch.float32)
        rows_B1 = torch.arange(len(scores_BN), device=scores_BN.device)[:, None]
        own_BN = (documents.row_N == rows_B1) & ~score_N.isnan()
        own_BN = own_BN[fit_B := own_BN.sum(1) > 1]
        if not len(own_BN):
            return scores_BN.sum() * 0
        teacher_BN = (score_N / self.teachers.distil_temperature).expand_as(own_BN).masked_fill(~own_BN, -torch.inf)
        ours_BN = scores_BN[fit_B].masked_fill(~own_BN, -torch.inf).log_softmax(1).masked_fill(~own_BN, 0)
        theirs_BN = teacher_BN.log_softmax(1).masked_fill(~own_BN, 0)
        return (theirs_BN.exp() * (theirs_BN - ours_BN)).masked_fill(~own_BN, 0).sum() / len(own_BN)

    def _distance_to_embedder(self, texts_MD: Tensor, target_M: Tensor) -> Tensor:
        """Squared distance of each text's vector from its target, both of unit length; a mean over texts.

        A target of fewer dimensions is compared with the vector's first ones.
        """
        assert self.teachers.targets_TD is not None
        targets_MD = self.teachers.targets_TD[target_M.cpu()].to(texts_MD)
        ours_MD = nn.functional.normalize(texts_MD[:, : targets_MD.shape[1]], dim=-1)
        return (ours_MD - targets_MD).square().sum(1).mean()
