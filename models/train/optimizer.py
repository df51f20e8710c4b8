"""Muon for the matrices of the blocks, AdamW for the rest, both on fp32 copies of what may be a bf16 network.

Muon (K. Jordan et al., 2024): the momentum of a matrix is made orthogonal by five Newton-Schulz iterations before it is
applied. On this model it needs about half of AdamW's steps. Matrices of one shape are iterated together."""

import collections

import torch


def orthogonal(x, dtype):
    """The nearest semi-orthogonal matrices, roughly, of a stack (n, rows, columns), iterated in `dtype`."""
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    x = x.float()
    return x.transpose(1, 2) if tall else x


class Optimizer:
    MATRIX_LR = 0.02
    OTHER_LR = {"wte.weight": 0.01, "head.weight": 0.004}
    NORM_LR = 0.004
    MOMENTUM = 0.95
    BETAS = (0.9, 0.98)

    def __init__(self, network, dtype):
        self.dtype = dtype
        self.parameters = dict(network.named_parameters())
        self.master = {name: p.detach().float().clone() for name, p in self.parameters.items()}
        self.state = {name: torch.zeros_like(m) for name, m in self.master.items()}
        self.second = {name: torch.zeros_like(m) for name, m in self.master.items() if not self.is_matrix(name)}
        self.step_count = 0
        # Fused projections count as the matrices they consist of.
        self.stacks = collections.defaultdict(list)
        for name, m in self.master.items():
            if self.is_matrix(name):
                parts = {"qkv": 3, "gate_up": 2}.get(name.split(".")[-2], 1)
                rows = m.shape[0] // parts
                for i in range(parts):
                    self.stacks[(rows, m.shape[1])].append((name, slice(i * rows, (i + 1) * rows)))

    @staticmethod
    def is_matrix(name):
        return name.startswith("blocks.") and not name.endswith("norm.weight")

    @torch.no_grad()
    def step(self, gradients, rate):
        """`gradients`: fp32 by name. `rate`: the schedule's factor, 1 at its height."""
        self.step_count += 1
        for name, gradient in gradients.items():
            if self.is_matrix(name):
                self.state[name].mul_(self.MOMENTUM).add_(gradient)
                gradient.add_(self.state[name], alpha=self.MOMENTUM)  # Nesterov.
            else:
                first, second = self.state[name], self.second[name]
                b1, b2 = self.BETAS
                first.mul_(b1).add_(gradient, alpha=1 - b1)
                second.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
                scale = (1 - b2 ** self.step_count) ** 0.5 / (1 - b1 ** self.step_count)
                lr = rate * self.OTHER_LR.get(name, self.NORM_LR)
                self.master[name].addcdiv_(first, second.sqrt().add_(1e-8), value=-lr * scale)
        for (rows, columns), slices in self.stacks.items():
            update = orthogonal(torch.stack([gradients[name][part] for name, part in slices]), self.dtype)
            lr = rate * self.MATRIX_LR * max(1, rows / columns) ** 0.5
            for (name, part), direction in zip(slices, update):
                self.master[name][part].add_(direction, alpha=-lr)
        self.publish()

    @torch.no_grad()
    def publish(self):
        for name, parameter in self.parameters.items():
            parameter.copy_(self.master[name])

    def state_dict(self):
        return {"master": self.master, "state": self.state, "second": self.second, "step_count": self.step_count}

    def load_state_dict(self, saved):
        for mine, theirs in ((self.master, saved["master"]), (self.state, saved["state"]), (self.second, saved["second"])):
            for name in mine:
                mine[name].copy_(theirs[name])
        self.step_count = saved["step_count"]
        self.publish()
