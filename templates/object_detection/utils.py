

# Boxes: (N, 4), x1, y1, x2, y2 in pixels unless a name says otherwise.


def box_iou(first: "torch.Tensor", second: "torch.Tensor") -> "torch.Tensor":
    """Intersection over union of every box (N, 4) with every other (M, 4): (N, M), 0 to 1."""
    from torchvision import ops

    iou: torch.Tensor = ops.box_iou(first, second)
    return iou


def generalized_box_iou(first: "torch.Tensor", second: "torch.Tensor") -> "torch.Tensor":
    """GIoU, -1 to 1: IoU less the empty share of the box around both; (N, 4), (M, 4) to (N, M).

    It also says how far boxes are apart that do not touch (Rezatofighi et al. 2019,
    https://arxiv.org/abs/1902.09630).
    """
    from torchvision import ops

    iou: torch.Tensor = ops.generalized_box_iou(first, second)
    return iou


def distance_box_iou(first: "torch.Tensor", second: "torch.Tensor") -> "torch.Tensor":
    """DIoU, -1 to 1: IoU less the squared distance of the centres; (N, 4), (M, 4) to (N, M).

    The distance is in diagonals of the box around both (Zheng et al. 2020,
    https://arxiv.org/abs/1911.08287).
    """
    from torchvision import ops

    iou: torch.Tensor = ops.distance_box_iou(first, second)
    return iou


def complete_box_iou(first: "torch.Tensor", second: "torch.Tensor") -> "torch.Tensor":
    """CIoU: DIoU less a term for unlike aspect ratios; (N, 4), (M, 4) to (N, M).

    From the same paper as DIoU.
    """
    from torchvision import ops

    iou: torch.Tensor = ops.complete_box_iou(first, second)
    return iou


def convert_boxes(boxes: "torch.Tensor", source: str, target: str) -> "torch.Tensor":
    """Boxes (N, 4) from one of the formats xyxy, xywh (corner) and cxcywh (centre) to another."""
    from torchvision import ops

    converted: torch.Tensor = ops.box_convert(boxes, in_fmt=source, out_fmt=target)
    return converted


def clip_boxes(boxes: "torch.Tensor", height: int, width: int) -> "torch.Tensor":
    """Boxes (N, 4) without what reaches beyond an image of ``height`` × ``width`` pixels."""
    from torchvision import ops

    clipped: torch.Tensor = ops.clip_boxes_to_image(boxes, (height, width))
    return clipped
