"""AWS: Secrets Manager, SSM parameters, IAM access keys, Bedrock API keys, ECS services, KMS."""

from __future__ import annotations

from rotator.plugin import Integration, Wrapping

PLUGINS = Integration(
    providers={"aws-bedrock": "bedrock:AwsBedrockProvider", "aws-iam": "iam:AwsIamProvider"},
    stores={
        "aws-secrets-manager": "secrets_manager:AwsSecretsManagerStore",
        "aws-ssm": "ssm:AwsSsmStore",
    },
    restarters={"ecs": "ecs:EcsRestarter"},
    references={"aws-sm": "references:secret", "aws-ssm": "references:parameter"},
    wrappers={"aws-kms": Wrapping("wrapper:KmsWrapper", "aws-kms:")},
    extra="aws",
)
